import dataclasses
import errno
import gzip
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tinygrad_mlp.data import sources, write_idx
from tinygrad_mlp.data.download import download, user_cache
from tinygrad_mlp.data.sources import FASHION_MNIST, MNIST, Archive, DataFile, load
from tinygrad_mlp.errors import DataError, MissingDataError

NAMES = [file.name for file in FASHION_MNIST.files]


@pytest.fixture
def contents(tmp_path) -> dict[str, bytes]:
    """Decompressed content of four small files."""
    random = np.random.default_rng(0)
    shapes = [(6, 28, 28), (6,), (4, 28, 28), (4,)]
    arrays = [random.integers(0, 10, shape, dtype=np.uint8) for shape in shapes]
    for name, array in zip(NAMES, arrays, strict=True):
        write_idx(tmp_path / name, array)
    return {name: (tmp_path / name).read_bytes() for name in NAMES}


@pytest.fixture
def archive(contents) -> Archive:
    """An archive of these files, without mirrors."""
    files = [DataFile(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in contents.items()]
    return dataclasses.replace(FASHION_MNIST, files=tuple(files), mirrors=())


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty machine: no environment variable, no system-wide data, an empty cache."""
    monkeypatch.delenv(sources.ENVIRONMENT, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(sources, "SYSTEM", tmp_path / "system")
    monkeypatch.setattr(sources, "user_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "fashion-mnist"


class Mirrors:
    """Servers on this machine that deliver `served[path]`: bytes, or a status code; and the paths asked for."""

    def __init__(self) -> None:
        self.served: dict[str, bytes | int] = {}
        self.asked: list[str] = []
        mirrors = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirrors.asked.append(self.path)
                answer = mirrors.served.get(self.path, 404)
                self.send_response(answer if isinstance(answer, int) else 200)
                body = b"" if isinstance(answer, int) else answer
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def serve(self, mirror: str, contents: dict[str, bytes]) -> str:
        for name, content in contents.items():
            self.served[f"/{mirror}/{name}.gz"] = gzip.compress(content)
        return f"{self.address}/{mirror}/"


@pytest.fixture
def mirrors() -> Iterator[Mirrors]:
    mirrors = Mirrors()
    thread = threading.Thread(target=mirrors.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield mirrors
    mirrors.server.shutdown()
    thread.join()
    mirrors.server.server_close()


def _place(folder: Path, contents: dict[str, bytes], suffix: str = "") -> None:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(content) if suffix else content)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("inside", ["", "fashion-mnist", "FashionMNIST/raw"])
def test_files_in_the_named_directory(inside, suffix, archive, contents, cache, tmp_path):
    _place(tmp_path / "mine" / inside, contents, suffix)
    loaded = load(archive, tmp_path / "mine")
    assert loaded.folder == tmp_path / "mine" / inside
    assert loaded.train_images.shape == (6, 28, 28) and loaded.test_labels.shape == (4,)
    assert loaded.train_images.tobytes() == contents[NAMES[0]][16:]


def test_places_are_searched_in_order(archive, contents, cache, tmp_path, monkeypatch):
    monkeypatch.setenv(sources.ENVIRONMENT, str(tmp_path / "environment"))
    folders = [
        cache,
        tmp_path / "system" / "fashion-mnist",
        tmp_path / "environment" / "fashion-mnist",
        tmp_path / "mine" / "fashion-mnist",
    ]
    for folder in folders:  # from the last place to the first: each new one is preferred
        _place(folder, contents)
        assert load(archive, tmp_path / "mine").folder == folder


def test_a_place_that_may_not_be_entered_is_passed_over(archive, contents, cache, tmp_path, monkeypatch):
    """Simulated, since tests may run as root."""
    mine, stat = tmp_path / "mine", os.stat
    _place(mine, contents)
    _place(cache, contents)

    def refuse(path, *arguments, **options):
        if isinstance(path, str | Path) and mine in Path(path).parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert load(archive, mine).folder == cache


def test_a_place_that_lacks_a_file_is_passed_over_and_listed(archive, contents, cache, tmp_path):
    _place(tmp_path / "mine", contents)
    (tmp_path / "mine" / NAMES[2]).unlink()
    with pytest.raises(MissingDataError) as raised:
        load(archive, tmp_path / "mine", allow_download=False)
    message = str(raised.value)
    assert f"mine (the directory given): lacks {NAMES[2]}\n" in message
    assert "system/fashion-mnist (system-wide): no such directory" in message
    assert "per-user cache" in message and "download=False" in message and "TINYGRAD_MLP_DATA" in message
    _place(cache, contents)
    assert load(archive, tmp_path / "mine", allow_download=False).folder == cache


@pytest.mark.parametrize("damage", ["truncated", "too long", "damaged"])
def test_a_damaged_file_stops_the_search(damage, archive, contents, cache, tmp_path):
    _place(cache, contents)  # a good copy elsewhere does not hide it
    content = bytearray(contents[NAMES[0]])
    if damage == "truncated":
        content = content[:-1]
    elif damage == "too long":
        content += b"\0"
    else:
        content[100] ^= 1
    _place(tmp_path / "mine", {**contents, NAMES[0]: bytes(content)})
    with pytest.raises(DataError) as raised:
        load(archive, tmp_path / "mine")
    message = str(raised.value)
    assert str(tmp_path / "mine" / NAMES[0]) in message and damage in message
    assert "To repair: replace it by a good copy" in message
    assert not isinstance(raised.value, MissingDataError)


def test_truncated_gzip_in_the_cache_can_be_repaired_by_deleting_it(archive, contents, cache, mirrors):
    _place(cache, contents, ".gz")
    damaged = cache / f"{NAMES[1]}.gz"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    archive = dataclasses.replace(archive, mirrors=(mirrors.serve("good", contents),))
    with pytest.raises(
        DataError, match=r"damaged or truncated gzip.*delete it and run again: it will be downloaded anew"
    ):
        load(archive)
    damaged.unlink()
    assert load(archive).train_labels.shape == (6,)
    assert mirrors.asked == [f"/good/{NAMES[1]}.gz"]  # and nothing else


def test_a_file_of_the_other_data_set_is_called_so(cache, tmp_path):
    """Both sets use the same file names and sizes."""
    content = bytes(8)
    file = DataFile("images", 8, MNIST.files[0].sha256)
    with pytest.raises(DataError, match="here: damaged: SHA-256"):
        file.parse(content, "here")
    assert sources._diagnose(MNIST.files[0].sha256) == "this is the file of mnist"


def test_download_passes_over_mirrors_that_fail_or_deliver_rubbish(archive, contents, cache, mirrors, capsys):
    rubbish = {**contents, NAMES[0]: b"<html>moved</html>"}
    archive = dataclasses.replace(
        archive,
        mirrors=(f"{mirrors.address}/absent/", mirrors.serve("rubbish", rubbish), mirrors.serve("good", contents)),
    )
    loaded = load(archive)
    assert loaded.folder == cache and loaded.test_images.tobytes() == contents[NAMES[2]][16:]
    assert mirrors.asked[:3] == [f"/{mirror}/{NAMES[0]}.gz" for mirror in ("absent", "rubbish", "good")]
    assert mirrors.asked[3:] == [f"/good/{name}.gz" for name in NAMES[1:]]  # the failed ones are not asked again
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)
    assert NAMES[0] in capsys.readouterr().err  # the progress bar

    mirrors.asked.clear()
    load(archive)
    assert mirrors.asked == []


def test_download_that_fails_lists_what_was_tried_and_leaves_nothing(archive, contents, cache, mirrors):
    wrong = {**contents, NAMES[0]: contents[NAMES[2]]}
    mirrors.served[f"/cut/{NAMES[0]}.gz"] = gzip.compress(contents[NAMES[0]])[:-30]
    mirrors.served[f"/broken/{NAMES[0]}.gz"] = 503
    archive = dataclasses.replace(
        archive, mirrors=(mirrors.serve("wrong", wrong), f"{mirrors.address}/cut/", f"{mirrors.address}/broken/")
    )
    with pytest.raises(MissingDataError) as raised:
        load(archive)
    message = str(raised.value)
    assert f"/wrong/{NAMES[0]}.gz: the content received: truncated: 3152 bytes" in message
    assert f"/cut/{NAMES[0]}.gz: " in message and "damaged or truncated gzip" in message
    assert f"/broken/{NAMES[0]}.gz: 503" in message
    assert list(cache.iterdir()) == []


def test_download_without_network(archive, cache):
    # Port 9 of this machine: nobody listens there.
    archive = dataclasses.replace(archive, mirrors=("http://127.0.0.1:9/",))
    with pytest.raises(MissingDataError, match=r"http://127\.0\.0\.1:9/train-images-idx3-ubyte\.gz: "):
        load(archive)


def test_download_into_a_place_that_cannot_be_made(archive, tmp_path):
    (tmp_path / "file").write_text("no directory")
    (failure,) = download(archive.files, ("http://127.0.0.1:9/",), tmp_path / "file" / "cache")
    assert "cannot be made" in failure


def test_the_cache_belongs_to_the_user():
    assert user_cache().name == "tinygrad_mlp" and user_cache().is_absolute()


def test_the_table_of_files():
    for archive in (FASHION_MNIST, MNIST):
        assert [file.size for file in archive.files] == [47040016, 60008, 7840016, 10008]
        assert len(archive.classes) == 10 and len(archive.mirrors) >= 2
        assert all(mirror.endswith("/") for mirror in archive.mirrors)


@pytest.mark.real_data
@pytest.mark.parametrize("archive", [FASHION_MNIST, MNIST], ids=["fashion-mnist", "mnist"])
def test_the_real_files_pass_their_checks(archive, real_data):
    loaded = load(archive, real_data, allow_download=False)
    assert loaded.train_images.shape == (60000, 28, 28) and loaded.test_images.shape == (10000, 28, 28)
    assert np.bincount(loaded.test_labels).size == 10
    with pytest.raises(DataError, match=f"this is the file of {archive.name}"):
        other = MNIST if archive is FASHION_MNIST else FASHION_MNIST
        load(other, real_data / archive.name, allow_download=False)
