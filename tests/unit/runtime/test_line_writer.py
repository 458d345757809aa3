from hypothesis import given, strategies as st

from ccrelay.runtime.line_writer import batches

LINES = st.lists(st.binary(max_size=30).map(lambda text: text.replace(b"\n", b"") + b"\n"))


@given(lines=LINES, bytes_max=st.integers(1, 64))
def test_lines_are_never_split_or_reordered(lines, bytes_max):
    made = list(batches(lines, bytes_max))
    assert b"".join(made) == b"".join(lines)
    for piece in made:
        assert piece.endswith(b"\n")
        assert len(piece) <= bytes_max or piece.count(b"\n") == 1


def test_a_batch_is_filled_before_the_next_starts():
    assert list(batches([b"aa\n", b"bb\n", b"cc\n"], 6)) == [b"aa\nbb\n", b"cc\n"]
