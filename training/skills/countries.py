"""The facts table: 150 countries as they are named inside a sentence, and what is asked of them."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass

OTHER_NAME_SHARE = 0.25
"""How often a question names a country or a city in another of its forms."""


@dataclass(frozen=True, slots=True)
class Country:
    """One country. `name` carries its article where English wants one inside a sentence.

    `currency` stands after "the"; `language` is the one of the state and its schools; `people` is
    the plural. A field is empty where no single answer would be right.
    """

    name: str
    capital: str
    continent: str
    currency: str
    language: str
    people: str
    other_names: tuple[str, ...] = ()

    @property
    def possessive(self) -> str:
        """The name in the genitive: "France's", "the Netherlands'"."""
        return self.name + ("'" if self.name.endswith("s") else "'s")

    def asked_name(self, rng: random.Random) -> str:
        """The name as a question gives it: mostly the full one, which every answer uses."""
        if self.other_names and rng.random() < OTHER_NAME_SHARE:
            return rng.choice(self.other_names)
        return self.name

    def asked_capital(self, rng: random.Random) -> str:
        """The capital as a question gives it: sometimes without accents."""
        return plain_letters(self.capital) if rng.random() < OTHER_NAME_SHARE else self.capital


def plain_letters(text: str) -> str:
    """The text without accents, as an English keyboard types it."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def begin(text: str) -> str:
    """The text with a capital first letter, as at the start of a sentence."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """The text as a sentence: it ends in one full stop, also after "Washington, D.C."."""
    return begin(text.removesuffix(".") + ".")


OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "the Czech Republic": ("Czechia",),
    "Ivory Coast": ("the Ivory Coast",),
    "Myanmar": ("Burma",),
    "the United Arab Emirates": ("the UAE",),
    "the United Kingdom": ("the UK", "Great Britain"),
    "the United States": ("the USA", "the US", "the United States of America"),
    "Timor-Leste": ("East Timor",),
    "Turkey": ("Türkiye",),
}
"""Names that people also use in a question."""

EUROPE = """
Albania|Tirana|Albanian lek|Albanian|Albanians
Austria|Vienna|euro|German|Austrians
Belarus|Minsk|Belarusian ruble||Belarusians
Belgium|Brussels|euro|Dutch|Belgians
Bosnia and Herzegovina|Sarajevo|convertible mark|Bosnian|Bosnians
Bulgaria|Sofia||Bulgarian|Bulgarians
Croatia|Zagreb|euro|Croatian|Croats
the Czech Republic|Prague|Czech koruna|Czech|Czechs
Denmark|Copenhagen|Danish krone|Danish|Danes
Estonia|Tallinn|euro|Estonian|Estonians
Finland|Helsinki|euro|Finnish|Finns
France|Paris|euro|French|French
Germany|Berlin|euro|German|Germans
Greece|Athens|euro|Greek|Greeks
Hungary|Budapest|Hungarian forint|Hungarian|Hungarians
Iceland|Reykjavik|Icelandic króna|Icelandic|Icelanders
Ireland|Dublin|euro|English|Irish
Italy|Rome|euro|Italian|Italians
Latvia|Riga|euro|Latvian|Latvians
Liechtenstein|Vaduz|Swiss franc|German|Liechtensteiners
Lithuania|Vilnius|euro|Lithuanian|Lithuanians
Luxembourg|Luxembourg|euro|Luxembourgish|Luxembourgers
Malta|Valletta|euro|Maltese|Maltese
Moldova|Chișinău|Moldovan leu|Romanian|Moldovans
Montenegro|Podgorica|euro|Montenegrin|Montenegrins
the Netherlands|Amsterdam|euro|Dutch|Dutch
North Macedonia|Skopje|Macedonian denar|Macedonian|Macedonians
Norway|Oslo|Norwegian krone|Norwegian|Norwegians
Poland|Warsaw|Polish zloty|Polish|Poles
Portugal|Lisbon|euro|Portuguese|Portuguese
Romania|Bucharest|Romanian leu|Romanian|Romanians
Serbia|Belgrade|Serbian dinar|Serbian|Serbs
Slovakia|Bratislava|euro|Slovak|Slovaks
Slovenia|Ljubljana|euro|Slovene|Slovenes
Spain|Madrid|euro|Spanish|Spaniards
Sweden|Stockholm|Swedish krona|Swedish|Swedes
Switzerland|Bern|Swiss franc|German|Swiss
Ukraine|Kyiv|Ukrainian hryvnia|Ukrainian|Ukrainians
the United Kingdom|London|pound sterling|English|British
"""
EUROPE_AND_ASIA = """
Russia|Moscow|Russian ruble|Russian|Russians
Turkey|Ankara|Turkish lira|Turkish|Turks
"""
ASIA = """
Afghanistan|Kabul|Afghan afghani||Afghans
Armenia|Yerevan|Armenian dram|Armenian|Armenians
Azerbaijan|Baku|Azerbaijani manat|Azerbaijani|Azerbaijanis
Bahrain|Manama|Bahraini dinar|Arabic|Bahrainis
Bangladesh|Dhaka|Bangladeshi taka|Bengali|Bangladeshis
Bhutan|Thimphu|Bhutanese ngultrum|Dzongkha|Bhutanese
Cambodia|Phnom Penh|Cambodian riel|Khmer|Cambodians
China|Beijing|Chinese yuan|Chinese|Chinese
Cyprus|Nicosia|euro|Greek|Cypriots
Georgia|Tbilisi|Georgian lari|Georgian|Georgians
India|New Delhi|Indian rupee|Hindi|Indians
Indonesia|Jakarta|Indonesian rupiah|Indonesian|Indonesians
Iran|Tehran|Iranian rial|Persian|Iranians
Iraq|Baghdad|Iraqi dinar|Arabic|Iraqis
Japan|Tokyo|Japanese yen|Japanese|Japanese
Jordan|Amman|Jordanian dinar|Arabic|Jordanians
Kazakhstan|Astana|Kazakhstani tenge|Kazakh|Kazakhs
Kuwait|Kuwait City|Kuwaiti dinar|Arabic|Kuwaitis
Kyrgyzstan|Bishkek|Kyrgyz som|Kyrgyz|Kyrgyz
Laos|Vientiane|Lao kip|Lao|Laotians
Lebanon|Beirut|Lebanese pound|Arabic|Lebanese
Malaysia|Kuala Lumpur|Malaysian ringgit|Malay|Malaysians
the Maldives|Malé|Maldivian rufiyaa|Dhivehi|Maldivians
Mongolia|Ulaanbaatar|Mongolian tugrik|Mongolian|Mongolians
Myanmar|Naypyidaw|Myanmar kyat|Burmese|Burmese
Nepal|Kathmandu|Nepalese rupee|Nepali|Nepalis
North Korea|Pyongyang|North Korean won|Korean|North Koreans
Oman|Muscat|Omani rial|Arabic|Omanis
Pakistan|Islamabad|Pakistani rupee|Urdu|Pakistanis
the Philippines|Manila|Philippine peso|Filipino|Filipinos
Qatar|Doha|Qatari riyal|Arabic|Qataris
Saudi Arabia|Riyadh|Saudi riyal|Arabic|Saudis
Singapore|Singapore|Singapore dollar|English|Singaporeans
South Korea|Seoul|South Korean won|Korean|South Koreans
Syria|Damascus|Syrian pound|Arabic|Syrians
Tajikistan|Dushanbe|Tajikistani somoni|Tajik|Tajiks
Thailand|Bangkok|Thai baht|Thai|Thais
Timor-Leste|Dili|US dollar|Tetum|Timorese
Turkmenistan|Ashgabat|Turkmenistani manat|Turkmen|Turkmens
the United Arab Emirates|Abu Dhabi|UAE dirham|Arabic|Emiratis
Uzbekistan|Tashkent|Uzbekistani som|Uzbek|Uzbeks
Vietnam|Hanoi|Vietnamese dong|Vietnamese|Vietnamese
Yemen|Sanaa|Yemeni rial|Arabic|Yemenis
"""
AFRICA = """
Algeria|Algiers|Algerian dinar|Arabic|Algerians
Angola|Luanda|Angolan kwanza|Portuguese|Angolans
Botswana|Gaborone|Botswana pula|English|Batswana
Burkina Faso|Ouagadougou|West African CFA franc||Burkinabe
Burundi|Gitega|Burundian franc|Kirundi|Burundians
Cameroon|Yaoundé|Central African CFA franc|French|Cameroonians
Egypt|Cairo|Egyptian pound|Arabic|Egyptians
Ethiopia|Addis Ababa|Ethiopian birr|Amharic|Ethiopians
Gabon|Libreville|Central African CFA franc|French|Gabonese
Ghana|Accra|Ghanaian cedi|English|Ghanaians
Guinea|Conakry|Guinean franc|French|Guineans
Ivory Coast|Yamoussoukro|West African CFA franc|French|Ivorians
Kenya|Nairobi|Kenyan shilling|Swahili|Kenyans
Liberia|Monrovia|Liberian dollar|English|Liberians
Libya|Tripoli|Libyan dinar|Arabic|Libyans
Madagascar|Antananarivo|Malagasy ariary|Malagasy|Malagasy
Malawi|Lilongwe|Malawian kwacha|English|Malawians
Mali|Bamako|West African CFA franc||Malians
Mauritius|Port Louis|Mauritian rupee||Mauritians
Morocco|Rabat|Moroccan dirham|Arabic|Moroccans
Mozambique|Maputo|Mozambican metical|Portuguese|Mozambicans
Namibia|Windhoek|Namibian dollar|English|Namibians
Niger|Niamey|West African CFA franc||Nigeriens
Nigeria|Abuja|Nigerian naira|English|Nigerians
Rwanda|Kigali|Rwandan franc|Kinyarwanda|Rwandans
Senegal|Dakar|West African CFA franc|French|Senegalese
Sierra Leone|Freetown|Sierra Leonean leone|English|Sierra Leoneans
Somalia|Mogadishu|Somali shilling|Somali|Somalis
South Africa|Pretoria|South African rand||South Africans
Sudan|Khartoum|Sudanese pound|Arabic|Sudanese
Tanzania|Dodoma|Tanzanian shilling|Swahili|Tanzanians
Togo|Lomé|West African CFA franc|French|Togolese
Tunisia|Tunis|Tunisian dinar|Arabic|Tunisians
Uganda|Kampala|Ugandan shilling|English|Ugandans
Zambia|Lusaka|Zambian kwacha|English|Zambians
Zimbabwe|Harare|||Zimbabweans
"""
NORTH_AMERICA = """
the Bahamas|Nassau|Bahamian dollar|English|Bahamians
Barbados|Bridgetown|Barbadian dollar|English|Barbadians
Belize|Belmopan|Belize dollar|English|Belizeans
Canada|Ottawa|Canadian dollar|English|Canadians
Costa Rica|San José|Costa Rican colón|Spanish|Costa Ricans
Cuba|Havana|Cuban peso|Spanish|Cubans
the Dominican Republic|Santo Domingo|Dominican peso|Spanish|Dominicans
El Salvador|San Salvador|US dollar|Spanish|Salvadorans
Guatemala|Guatemala City|Guatemalan quetzal|Spanish|Guatemalans
Haiti|Port-au-Prince|Haitian gourde|Haitian Creole|Haitians
Honduras|Tegucigalpa|Honduran lempira|Spanish|Hondurans
Jamaica|Kingston|Jamaican dollar|English|Jamaicans
Mexico|Mexico City|Mexican peso|Spanish|Mexicans
Nicaragua|Managua|Nicaraguan córdoba|Spanish|Nicaraguans
Panama|Panama City|Panamanian balboa|Spanish|Panamanians
Trinidad and Tobago|Port of Spain|Trinidad and Tobago dollar|English|
the United States|Washington, D.C.|US dollar|English|Americans
"""
SOUTH_AMERICA = """
Argentina|Buenos Aires|Argentine peso|Spanish|Argentines
Bolivia|Sucre|Bolivian boliviano|Spanish|Bolivians
Brazil|Brasília|Brazilian real|Portuguese|Brazilians
Chile|Santiago|Chilean peso|Spanish|Chileans
Colombia|Bogotá|Colombian peso|Spanish|Colombians
Ecuador|Quito|US dollar|Spanish|Ecuadorians
Paraguay|Asunción|Paraguayan guarani||Paraguayans
Peru|Lima|Peruvian sol|Spanish|Peruvians
Uruguay|Montevideo|Uruguayan peso|Spanish|Uruguayans
Venezuela|Caracas|Venezuelan bolívar|Spanish|Venezuelans
"""
OCEANIA = """
Australia|Canberra|Australian dollar|English|Australians
Fiji|Suva|Fijian dollar||Fijians
New Zealand|Wellington|New Zealand dollar|English|New Zealanders
"""


def _read(continent: str, table: str) -> list[Country]:
    """The countries of a table: name, capital, currency, language and people between bars."""
    countries = []
    for line in table.strip().splitlines():
        name, capital, currency, language, people = line.split("|")
        names = OTHER_NAMES.get(name, ())
        if name.startswith("the "):
            names = (*names, name.removeprefix("the "))
        countries.append(Country(name, capital, continent, currency, language, people, names))
    return countries


COUNTRIES: list[Country] = [
    *_read("Europe", EUROPE),
    *_read("Europe and Asia", EUROPE_AND_ASIA),
    *_read("Asia", ASIA),
    *_read("Africa", AFRICA),
    *_read("North America", NORTH_AMERICA),
    *_read("South America", SOUTH_AMERICA),
    *_read("Oceania", OCEANIA),
]
"""Every country. Those between continents follow the regions of the United Nations."""

CAPITALS: dict[str, str] = {country.name: country.capital for country in COUNTRIES}
"""Country, with its article where it takes one, to its capital."""
