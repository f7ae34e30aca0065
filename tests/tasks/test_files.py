"""Files are found by a folder or a glob, and each lies in one split."""

import pytest

from seqmodels.errors import ParameterError
from seqmodels.tasks.base import SPLITS
from seqmodels.tasks.files import find_files, split_files


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
    assert len(find_files(str(tmp_path))) == 3


def test_too_few_files(tmp_path):
    with pytest.raises(ParameterError, match="matches nothing; at least 3 files are needed"):
        find_files(str(tmp_path / "none"))
    write(tmp_path, "a", "b", "c", text="")
    with pytest.raises(ParameterError, match="matches 0 non-empty files; at least 3"):
        find_files(str(tmp_path))
    write(tmp_path, "a", "b")
    with pytest.raises(ParameterError, match="matches 2 non-empty files; at least 3"):
        find_files(str(tmp_path))


def test_the_standard_library_is_found_without_its_tests():
    found = find_files("stdlib")
    assert {"json/decoder.py", "ast.py"} <= found.keys()
    assert not any("test" in name.split("/") or "site-packages" in name for name in found)


@pytest.mark.parametrize("held_out", [0.01, 0.1, 0.49])
@pytest.mark.parametrize("count", [3, 4, 57])
def test_each_file_lies_in_one_split_and_none_is_empty(count, held_out):
    sizes = {f"{number}.txt": 1 + number % 7 for number in range(count)}
    parts = split_files(sizes, held_out)
    names = [name for split in SPLITS for name in parts[split]]
    assert sorted(names) == sorted(sizes)
    assert all(parts.values())
    assert parts == split_files(dict(reversed(sizes.items())), held_out)
    if count == 57:
        for split in ("validation", "test"):
            share = sum(sizes[name] for name in parts[split]) / sum(sizes.values())
            assert held_out <= share < held_out + 7 / sum(sizes.values()) + 1e-9


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
    with pytest.raises(ParameterError, match="matches 1 non-empty files"):
        find_files(str(tmp_path / "notes1/a"))


def test_a_name_of_any_bytes_lies_in_a_split():
    assert sum(map(len, split_files({"a\udcff": 1, "b": 1, "c": 1}, 0.1).values())) == 3
