"""Files are found by a name, a folder or a glob, each once."""

import os

import pytest

from seqmodels.errors import ParameterError
from seqmodels.tasks.files.finding import find_files


def write(folder, *names, text="text"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_folder_is_all_the_files_in_it(tmp_path):
    write(tmp_path, "a.txt", "b/c.py", "b/d/e")
    write(tmp_path, "empty", text="")
    assert find_files(str(tmp_path)) == {
        name: tmp_path / name for name in ("a.txt", "b/c.py", "b/d/e")
    }


def test_names_begin_below_what_a_glob_has_in_common(tmp_path):
    write(tmp_path, "above/b/1.py", "above/b/2.py", "above/c/3.py", "above/c/4.txt")
    found = find_files(str(tmp_path / "**/*.py"))
    assert list(found) == ["b/1.py", "b/2.py", "c/3.py"]


def test_a_link_to_a_file_is_no_other_file(tmp_path):
    write(tmp_path, "a", "b", "c")
    (tmp_path / "z").symlink_to(tmp_path / "a")
    (tmp_path / "y").hardlink_to(tmp_path / "b")
    assert len(find_files(str(tmp_path))) == 3


def test_no_files(tmp_path):
    with pytest.raises(ParameterError, match="matches nothing; write a file, a folder"):
        find_files(str(tmp_path / "none"))
    write(tmp_path, "a", "b", "c", text="")
    with pytest.raises(ParameterError, match="matches empty files alone; write a file"):
        find_files(str(tmp_path))
    write(tmp_path, "a")
    assert find_files(str(tmp_path / "a")) == {"a": tmp_path / "a"}


def test_the_standard_library_is_found_without_its_tests():
    found = find_files("stdlib")
    assert {"json/decoder.py", "ast.py"} <= found.keys()
    assert not any("test" in name.split("/") or "site-packages" in name for name in found)


STRANGE = ["corpus[v1]", "a*b", "what?", "two\\parts", "**", "[!x]", "bytes\udcff"]
"""Names of folders that are patterns too, or that are not UTF-8."""


@pytest.mark.parametrize("name", STRANGE)
def test_what_exists_is_no_pattern(tmp_path, name):
    """Nor is what stands before a pattern."""
    write(tmp_path / name, "1.txt", "in/2.txt", "in/3.txt", "4.py")
    write(tmp_path, "corpusv/5.txt", "aab/6.txt", "whats/7.txt", "y/8.txt")
    inside = {"1.txt", "in/2.txt", "in/3.txt"}
    assert find_files(str(tmp_path / name)).keys() == inside | {"4.py"}
    assert find_files(str(tmp_path / name / "**/*.txt")).keys() == inside
    paths = find_files(str(tmp_path / name / "i[n]/../**")).values()
    assert all(path.is_relative_to(tmp_path / name) for path in paths)


def test_what_does_not_exist_is_a_pattern(tmp_path):
    write(tmp_path, "notes1/a", "notes2/b", "notes2/c")
    assert len(find_files(str(tmp_path / "notes[12]/*"))) == 3
    assert find_files(str(tmp_path / "notes1/a")) == {"a": tmp_path / "notes1/a"}
    assert find_files(str(tmp_path / "n*/[bc]")).keys() == {"b", "c"}


def test_what_programs_leave_behind_is_not_read(tmp_path):
    left = (".ipynb_checkpoints/a.txt", "in/.cache/b", "__pycache__/c.txt", ".DS_Store", "._a.txt")
    write(tmp_path, "a.txt", "in/b", *left)
    assert find_files(str(tmp_path)).keys() == {"a.txt", "in/b"}
    assert find_files(str(tmp_path / "**/*.txt")).keys() == {"a.txt"}
    assert find_files(str(tmp_path / "*/*")).keys() == {"b"}
    assert find_files(str(tmp_path / ".ipynb_checkpoints")).keys() == {"a.txt"}
    assert find_files(str(tmp_path / ".*")).keys() == {".DS_Store", "._a.txt"}


@pytest.mark.parametrize("files", ["", "**", "**/*", "**/**", "**/*.txt", "*/**/b.txt"])
def test_links_that_lead_back_end(tmp_path, files):
    """Two in each of two folders would be followed 2**40 ways."""
    write(tmp_path, "a.txt", "in/b.txt")
    for folder in (tmp_path, tmp_path / "in"):
        for name in ("up", "here"):
            (folder / name).symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    found = {path.name for path in find_files(str(tmp_path / files)).values()}
    assert found == ({"b.txt"} if files.endswith("b.txt") else {"a.txt", "b.txt"})


def test_what_is_no_regular_file_is_left_out(tmp_path):
    write(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zeros.txt").symlink_to("/dev/zero")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "gone")
    for files in ("", "*.txt", "**"):
        assert find_files(str(tmp_path / files)).keys() == {"a.txt"}
    with pytest.raises(ParameterError, match="matches nothing"):
        find_files(str(tmp_path / "pipe.txt"))


def test_a_file_that_is_deleted_meanwhile_is_left_out(tmp_path, monkeypatch):
    write(tmp_path, "a", "b", "c")
    monkeypatch.setattr(
        "seqmodels.tasks.files.finding._matching",
        lambda *_: [tmp_path / name for name in ("a", "b", "gone")],
    )
    assert len(find_files(str(tmp_path))) == 2
