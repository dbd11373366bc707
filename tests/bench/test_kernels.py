import pytest
import torch

from sglite.bench import kernels as bench
from sglite.bench.kernels import Case, Heads, Machine, main, measure
from sglite.errors import ConfigError
from sglite.kernels import cpu

HEADS = Heads(4, 2, 32)


@pytest.fixture
def machine():
    if cpu.extension() is None:
        pytest.skip(str(cpu.why_missing()))
    return Machine(cpu.instruction_sets()[0], 2, torch.float32)


@pytest.fixture
def small(monkeypatch):
    """Rates and times of a moment."""
    monkeypatch.setattr(bench, "READ_BYTES", 1 << 16)
    monkeypatch.setattr(bench, "MATRIX_SIZE", 32)
    monkeypatch.setattr(bench, "NUM_MATRICES", 2)
    monkeypatch.setattr(bench, "MIN_TIME_S", 0.0)


def test_what_a_decode_reads_counts_a_shared_page_once(machine):
    tables = [[0, 1, 2, 10], [0, 1, 2, 11]]
    apart = bench.attention_case(machine, HEADS, name="", tables=tables, num_new=1)
    shared = bench.attention_case(machine, HEADS, name="", tables=tables, num_new=1, num_shared=3)
    page = 16 * 2 * 2 * 32 * 4  # tokens, keys and values, heads, numbers, bytes
    assert apart.num_bytes == 8 * page
    assert shared.num_bytes == 5 * page
    assert apart.num_operations == shared.num_operations == 4 * 2 * 64 * 4 * 32


def test_a_chunk_computes_what_each_of_its_tokens_sees(machine):
    case = bench.attention_case(machine, HEADS, name="", tables=[[0, 1]], num_new=4)
    assert case.num_operations == 4 * (29 + 30 + 31 + 32) * 4 * 32


def test_the_attention_that_is_measured_is_the_one_of_its_pages(machine, monkeypatch):
    pools, programs = [], []
    make_pool, make_program = bench._filled_pool, bench._program

    def keep_pool(*arguments):
        pools.append(make_pool(*arguments))
        return pools[-1]

    def spy(machine):
        program = make_program(machine)

        class Spy:
            def attend(self, q, out, *rest):
                programs.append((q, out))
                program.attend(q, out, *rest)

            def replay(self, *arguments):
                program.replay(*arguments)

        return Spy()

    monkeypatch.setattr(bench, "_filled_pool", keep_pool)
    monkeypatch.setattr(bench, "_program", spy)
    case = bench.attention_case(machine, HEADS, name="", tables=[[0, 1], [2, 3]], num_new=1)
    case.work()
    _, out = programs[0]
    assert torch.isfinite(out).all()
    assert 0 < out.abs().max() <= pools[0].storage[0].abs().max()  # averages of values


def test_linear_layers_multiply_every_matrix(machine, small):
    cases = list(bench.linear_cases(machine, num_inputs=32, num_outputs=48))
    assert [case.num_operations for case in cases] == [2 * 2 * 32 * 48 * n for n in bench.ROWS]
    assert {case.num_bytes for case in cases} == {2 * 32 * 48 * 4}
    for case in cases:
        case.work()


def test_a_line_gives_the_time_and_both_shares(small):
    ran = []
    case = Case(name="a name", num_bytes=1e3, num_operations=2e3, work=lambda: ran.append(0))
    line = measure(case, 3, torch.float32)
    assert line.startswith("a name ")
    assert line.count("%") == 2 and "ms" in line and "GB/s" in line and "GFLOP/s" in line
    assert len(ran) == 4  # one to warm up


def test_the_command_measures_the_cases_that_are_named(machine, small, capsys):
    options = ["--heads", "4,2,32", "--size", "32,48", "--rounds", "1", "--dtype", "float32"]
    assert main([*options, "--only", "8 rows"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[-1].split()[0] for line in lines] == ["8"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--heads", "4,2"], "--heads: '4,2' is not allowed; give 3 positive integers"),
        (["--rounds", "0"], "--rounds: '0' is not allowed"),
        (["--size", "1,x"], "--size: '1,x' is not allowed"),
        (["--dtype", "int8"], "--dtype: 'int8' is not allowed; give bfloat16 or float32"),
        (["--cpu-kernels", "torch"], "there is nothing to measure"),
        (["--cpu-kernels", "mmx"], "'mmx'"),
    ],
)
def test_a_wrong_option_is_one_clear_message(options, message):
    with pytest.raises(ConfigError) as caught:
        main(options)
    assert message in str(caught.value)
