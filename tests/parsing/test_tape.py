"""A tape waits only where the text cannot tell."""

import re

from sglite.parsing.tape import SPACE, Markers, Tape


def run(part, tape, pieces):
    """What a part of a scanner returns, and how many pieces it took."""
    for number, piece in enumerate(pieces):
        tape.append(piece)
        try:
            next(part) if number == 0 else part.send(None)
        except StopIteration as stop:
            return stop.value, number + 1
    tape.end()
    try:
        next(part)
    except StopIteration as stop:
        return stop.value, len(pieces) + 1
    raise AssertionError("waits after the end")


def test_the_longest_marker_wins_and_is_waited_for():
    for pieces, expected in (
        (["g", "et", "_x"], ("get_x", 3)),
        (["get", "_y"], ("get", 2)),
        (["get"], ("get", 2)),
        (["x"], ("", 1)),
        (["ge"], ("", 2)),
    ):
        tape = Tape()
        assert run(tape.take_one_of(Markers(["get", "get_x"])), tape, pieces) == expected


def test_words_before_a_marker_are_said_but_for_its_beginning():
    tape = Tape()
    find = tape.find_one_of(Markers(["<b>", "<c>"]))
    tape.append("a <d> <")
    next(find)
    assert tape.findings.hand_over().text == "a <d> "
    assert run(find, tape, ["c", "> x"]) == ("<c>", 2)
    assert tape.take(3) == "<c>"


def test_runs_go_over_cuts():
    tape = Tape()
    tape.hold()
    assert run(tape.take_run(SPACE), tape, [" ", "\n", "a"]) == (" \n", 3)
    assert run(tape.take_run(re.compile("[a-z]*")), tape, ["b", "c"]) == ("abc", 3)
    tape.say()
    assert tape.findings.hand_over().text == " \nabc"


def test_dropped_text_is_gone_and_thoughts_are_no_words():
    tape = Tape()
    tape.append("abcd")
    tape.hold()
    tape.take(2)
    tape.drop()
    tape.take()
    tape.hold()
    tape.take()
    tape.think()
    piece = tape.findings.hand_over()
    assert (piece.text, piece.reasoning) == ("", "d")
