"""Images by class folder: the pixels that are on disk, each image in one split, and what is not
taken."""

import numpy as np
import PIL.Image
import pytest

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.tasks.base import SPLITS
from seqmodels.tasks.files.images import Images

WIDTH, HEIGHT = 5, 3
PIXELS = WIDTH * HEIGHT


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """20 images of "cat" and 30 of "dog"; of image i every value is i, but in the first row."""
    for number in range(50):
        pixels = np.full((HEIGHT, WIDTH, 3), number, np.uint8)
        pixels[0, :, 1] = np.arange(WIDTH) * 10
        write(tmp_path / ("cat" if number < 20 else "dog") / f"{number}.png", pixels)
    (tmp_path / "dog/notes.txt").write_text("no image")
    (tmp_path / "nothing here").mkdir()
    return tmp_path


def all_of(task, split):
    return task.batch(split, 0, task.examples(split, PIXELS), PIXELS)


def test_each_image_lies_in_one_split_with_its_class(folder):
    task = Images(seed=0, folder=str(folder), colours="colour")
    assert task.classes == ("cat", "dog")
    assert task.spec.outputs == 2
    parts = [all_of(task, split) for split in SPLITS]
    assert [len(part.inputs) for part in parts] == [40, 5, 5]
    numbers = [np.rint(part.inputs[:, -1, 0] * 255).astype(int) for part in parts]
    assert sorted(np.concatenate(numbers).tolist()) == list(range(50))
    for part, those in zip(parts, numbers, strict=True):
        np.testing.assert_array_equal(part.targets, those >= 20)
        assert {0, 1} == set(part.targets.tolist())
        assert (task.fields(part)["class"] == part.targets).all()


def test_images_that_lie_elsewhere_are_counted(folder):
    task = Images(seed=0, folder=str(folder))
    assert task.holds()["test"] == "5 images (10.0%)"
    for place in ("1.png", "cat/more/2.jpg", "cat/more/yet more/3.PNG", "birds/small/4.png"):
        write(folder / place, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    write(folder / "cat/.hidden/5.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    task = Images(seed=0, folder=str(folder))
    assert task.classes == ("cat", "dog")
    said = "5 images (10.0%); 4 images that lie elsewhere than in CLASS/ left out"
    assert task.holds()["test"] == said


def test_layouts_and_colours(folder):
    def first(**changes):
        task = Images(seed=0, folder=str(folder), **changes)
        return task.batch("test", 0, 1, PIXELS).inputs[0], task

    grid, task = first(layout="grid", colours="colour")
    number = int(task.paths["test"][0].stem)
    expected = np.full((HEIGHT, WIDTH, 3), number, np.float32)
    expected[0, :, 1] = np.arange(WIDTH) * 10
    np.testing.assert_allclose(grid, expected / 255)
    assert (task.spec.rank, task.spec.input_size) == (2, 3)
    sequence, task = first(colours="colour")
    np.testing.assert_array_equal(sequence, grid.reshape(PIXELS, 3))
    assert task.spec.rank == 1
    permuted, task = first(layout="permuted", colours="colour")
    assert not np.array_equal(permuted, sequence)
    np.testing.assert_array_equal(permuted, sequence[task.order])
    assert sorted(task.order.tolist()) == list(range(PIXELS))
    again, other = first(layout="permuted", colours="grey")
    assert np.array_equal(task.order, other.order)
    grey, task = first()
    assert (task.spec.input_size, grey.shape) == (1, (PIXELS, 1))
    luma = expected @ np.array([0.299, 0.587, 0.114]) / 255  # ITU-R 601, as Pillow says
    np.testing.assert_allclose(grey.reshape(HEIGHT, WIDTH), luma, atol=1 / 255)
    np.testing.assert_array_equal(again, grey[other.order])


def test_images_of_any_kind(tmp_path):
    """JPEG, a palette, grey values and transparency become what is asked for."""
    grey = np.full((8, 8), 51, np.uint8)  # which the palette of the web has
    for name in "ab":
        write(tmp_path / name / "1.jpg", np.stack([grey] * 3, axis=-1))
        write(tmp_path / name / "2.PNG", grey)
        write(tmp_path / name / "3.png", np.stack([grey, grey, grey, grey // 2], axis=-1))
        PIL.Image.fromarray(np.stack([grey] * 3, axis=-1)).convert("P").save(
            tmp_path / name / "4.png"
        )
        write(tmp_path / name / "5.jpeg", grey)
    for colours, channels in (("grey", 1), ("colour", 3)):
        task = Images(seed=0, folder=str(tmp_path), colours=colours)
        for split in SPLITS:
            inputs = task.batch(split, 0, 6, 64).inputs
            assert inputs.shape == (6, 64, channels)
            np.testing.assert_allclose(inputs * 255, 51, atol=4)


def test_images_are_decoded_once_and_when_asked_for(folder, monkeypatch):
    task = Images(seed=0, folder=str(folder))
    for path in task.paths["train"]:
        path.unlink()
    before = all_of(task, "test")
    for path in task.paths["test"]:
        path.unlink()
    assert np.array_equal(all_of(task, "test").inputs, before.inputs)
    monkeypatch.setattr("seqmodels.tasks.files.images.KEPT_BYTES", 3 * PIXELS)
    for number in range(20):
        write(folder / f"cat/{number}.png", np.zeros((HEIGHT, WIDTH), np.uint8))
        write(folder / f"dog/{number}.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    task = Images(seed=0, folder=str(folder))
    all_of(task, "test")
    assert len(task._kept) == 3


def test_folders_that_can_not_be_used(folder, tmp_path):
    def refused(message, folder=folder):
        with pytest.raises(ParameterError, match=message) as caught:
            Images(seed=0, folder=str(folder))
        assert "\n" not in str(caught.value)

    refused("folder='.*none' is not a folder", folder / "none")
    refused("has 0 folders with images; at least 2 classes", folder / "cat")
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    write(folder / "bird/1.png", pixels)
    two = write(folder / "bird/2.png", pixels)
    refused("class 'bird' has 2 images; at least 3 are needed, one for each split")
    three = write(folder / "bird/3.png", np.zeros((WIDTH, HEIGHT), np.uint8))
    refused("image 2 of 53, .*bird/3.png, has 3×5 pixels where the first, .*bird/1.png, has 5×3")
    write(three, np.zeros((HEIGHT, WIDTH), np.uint16))
    refused("image 2 of 53, .*bird/3.png, has more than 8 bits a value")
    write(three, pixels)
    two.write_bytes(b"no image")
    refused("image 1 of 53, .*bird/2.png, can't be read: it is no PNG or JPEG file")
    two.unlink()
    two.symlink_to(folder / "gone.png")
    refused("image 1 of 53, .*bird/2.png, can't be read: No such file")


def test_images_that_turn_out_broken_are_named(folder):
    task = Images(seed=0, folder=str(folder))
    whole = task.paths["train"][7].read_bytes()
    broken = task.paths["train"][7]

    def refused(message):
        with pytest.raises(ConfigError, match=message) as caught:
            all_of(task, "train")
        assert "\n" not in str(caught.value)

    for end in (20, len(whole) // 2):
        broken.write_bytes(whole[:end])
        refused(f"task.folder: can't read image 7 of the 40 of train, .*{broken.name}: ")
    broken.write_bytes(whole[:60] + bytes(20) + whole[80:])
    refused("can't read image 7 of the 40 of train, ")
    write(broken, np.zeros((HEIGHT, WIDTH + 1), np.uint8))
    refused("can't read image 7 of the 40 of train, ")
    broken.unlink()
    refused("can't read image 7 of the 40 of train, .*: No such file or directory")
