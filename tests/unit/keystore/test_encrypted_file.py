"""The key store in a file: what is put is found, rotated, and replaced as a whole."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from rich.pretty import pretty_repr

from portvakt.errors import ConfigurationError
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.signer import Signer
from portvakt.keystore import encrypted_file, permissions
from portvakt.keystore.base import KeyStore, State
from portvakt.keystore.encrypted_file import EncryptedFile
from portvakt.keystore.entries import read_entries
from portvakt.keystore.sealed import MIN_COST, seal, unseal

PASSPHRASE = "a long passphrase"
SIGNER = Signer.generate("ES256", "sign-1")
FIRST, SECOND, THIRD = (DecryptionKey.generate("ECDH-ES", f"enc-{n}") for n in (1, 2, 3))
Make = Callable[[], EncryptedFile]


def test_what_is_put_is_found_by_whoever_opens_it(store: EncryptedFile, opened: Make) -> None:
    store.put("introspection", "s3cret ø")
    store.put("client", SIGNER)
    store.put("api", FIRST)
    for one in (store, opened()):
        found: KeyStore = one
        assert found.names() == ("api", "client", "introspection")
        assert found.secret("introspection") == "s3cret ø"
        assert found.signer("client").private_jwk() == SIGNER.private_jwk()
        assert [key.private_jwk() for key in found.decryption_keys("api")] == [FIRST.private_jwk()]
        assert one.kind("api") == "decryption key"
        assert one.versions("api") == ((State.CURRENT, "enc-1"),)
        assert one.versions("introspection") == ((State.CURRENT, None),)


def test_rotation_keeps_what_may_still_be_on_its_way(store: EncryptedFile, opened: Make) -> None:
    store.put("api", FIRST)
    store.put("api", SECOND, state=State.NEXT)
    assert [key.kid for key in opened().decryption_keys("api")] == ["enc-2", "enc-1"]
    store.rotate("api")
    store.put("api", THIRD, state=State.NEXT)
    again = opened()
    assert again.versions("api") == (
        (State.NEXT, "enc-3"),
        (State.CURRENT, "enc-2"),
        (State.RETIRED, "enc-1"),
    )
    assert [key.kid for key in again.decryption_keys("api")] == ["enc-3", "enc-2", "enc-1"]
    again.rotate("api")
    again.drop_retired("api")
    assert opened().versions("api") == ((State.CURRENT, "enc-3"),)


def test_current_version_is_used_until_it_is_rotated(store: EncryptedFile) -> None:
    store.put("secret", "old")
    store.put("secret", "new", state=State.NEXT)
    assert store.secret("secret") == "old"
    store.rotate("secret")
    assert store.secret("secret") == "new"
    store.put("client", SIGNER)
    store.put("client", Signer.generate("ES256", "sign-2"), state=State.NEXT)
    assert store.signer("client").kid == "sign-1"
    store.rotate("client")
    assert store.signer("client").kid == "sign-2"


def test_what_is_published_is_public_and_is_what_others_need(store: EncryptedFile) -> None:
    store.put("api", FIRST)
    store.put("api", SECOND, state=State.NEXT)
    assert store.published("api") == {"keys": [FIRST.public_jwk()]}  # what to encrypt to
    store.rotate("api")
    assert store.published("api") == {"keys": [SECOND.public_jwk()]}
    following = Signer.generate("ES256", "sign-2")
    store.put("client", SIGNER)
    store.put("client", following, state=State.NEXT)
    both = {"keys": [following.public_jwk(), SIGNER.public_jwk()]}
    assert store.published("client") == both  # whatever may have signed, or soon will
    store.rotate("client")
    assert store.published("client") == both


def test_removed_entry_is_gone(store: EncryptedFile, opened: Make) -> None:
    store.put("one", "a")
    store.put("two", "b")
    store.remove("one")
    assert opened().names() == ("two",)


REFUSED: Final[list[tuple[Callable[[EncryptedFile], object], str]]] = [
    (lambda it: it.put("", "x"), "a name is letters"),
    (lambda it: it.put("-x", "x"), "a name is letters"),
    (lambda it: it.put("a b", "x"), "a name is letters"),
    (lambda it: it.put("../x", "x"), "a name is letters"),
    (lambda it: it.put("x" * 65, "x"), "a name is letters"),
    (lambda it: it.put("x\n", "x"), "a name is letters"),
    (lambda it: it.put("new", ""), "not empty"),
    (lambda it: it.put("new", "half \udcff"), "is text"),
    (lambda it: it.put("new", "x", state=State.NEXT), "new is not there yet"),
    (
        lambda it: it.put("new", "x", state=State.RETIRED),
        "new is not there yet",
    ),
    (lambda it: it.put("api", SECOND), "api is there already"),
    (lambda it: it.put("api", SECOND, state=State.RETIRED), "api is there already"),
    (lambda it: it.put("api", "text", state=State.NEXT), "api is the name of a decryption key"),
    (lambda it: it.put("api", SIGNER, state=State.NEXT), "api is the name of a decryption key"),
    (lambda it: it.put("two", THIRD, state=State.NEXT), "has a next version already"),
    (lambda it: it.published("text"), "is a secret, not a decryption key"),
    (lambda it: it.published("none"), "no entry of this name"),
    (lambda it: it.rotate("api"), "api has no next version"),
    (lambda it: it.rotate("none"), "no entry of this name"),
    (lambda it: it.drop_retired("none"), "no entry of this name"),
    (lambda it: it.remove("none"), "no entry of this name"),
    (lambda it: it.versions("none"), "no entry of this name"),
    (lambda it: it.kind("none"), "no entry of this name"),
    (lambda it: it.secret("none"), "no entry of this name"),
    (lambda it: it.secret("api"), "is a decryption key, not a secret"),
    (lambda it: it.signer("api"), "is a decryption key, not a signing key"),
    (lambda it: it.decryption_keys("text"), "is a secret, not a decryption key"),
    (lambda it: it.put("big", "x" * 2**20), "would be longer"),
]


def test_what_makes_no_sense_is_refused_and_changes_nothing(
    store: EncryptedFile, path: Path
) -> None:
    store.put("api", FIRST)
    store.put("two", FIRST)
    store.put("two", SECOND, state=State.NEXT)
    store.put("text", "x")
    before = path.read_bytes()
    for change, message in REFUSED:
        with pytest.raises(ConfigurationError, match=message):
            change(store)
    assert path.read_bytes() == before
    assert store.names() == ("api", "text", "two")


def test_file_is_for_this_user_alone_and_nothing_is_left_beside_it(
    store: EncryptedFile, path: Path
) -> None:
    before = os.umask(0)
    try:
        store.put("one", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_there_is_a_file_already(store: EncryptedFile, path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is a file of this name already"):
        EncryptedFile.create(path, PASSPHRASE, cost=MIN_COST)


def test_short_passphrase_seals_nothing(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="fewer than 12 characters"):
        EncryptedFile.create(path, "elevenchars")
    assert not path.exists()


def test_default_cost_opens_as_well(path: Path, opened: Make) -> None:
    EncryptedFile.create(path, PASSPHRASE).put("one", "x")
    assert b'"cost":131072' in path.read_bytes()
    again = opened()
    assert again.secret("one") == "x"
    assert repr(again) == "EncryptedFile(1 entries)"


def test_wrong_passphrase_and_changed_file_are_told_alike(store: EncryptedFile, path: Path) -> None:
    said = set()
    with pytest.raises(ConfigurationError) as caught:
        EncryptedFile.open(path, "another passphrase")
    said.add(str(caught.value))
    octets = path.read_bytes()
    path.write_bytes(octets[:-3] + (b"AA\n" if octets[-3:] != b"AA\n" else b"BA\n"))
    with pytest.raises(ConfigurationError) as caught:
        EncryptedFile.open(path, PASSPHRASE)
    said.add(str(caught.value))
    assert said == {"the key store does not open: the passphrase is wrong, or the file was changed"}


def test_loose_file_is_refused_with_what_to_run(
    store: EncryptedFile, path: Path, opened: Make
) -> None:
    for mode in (0o640, 0o604, 0o660, 0o644, 0o666, 0o610, 0o777):
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"run chmod 600 {path}"):
            opened()
    with pytest.raises(ConfigurationError, match="run chmod 600"):
        store.put("one", "x")  # what is there now may be another's
    path.chmod(0o600)
    opened().put("one", "x")


def test_folder_in_which_others_write_is_refused_with_what_to_run(
    store: EncryptedFile, path: Path, opened: Make
) -> None:
    for mode in (0o770, 0o707, 0o777):
        path.parent.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"run chmod go-w {path.parent}"):
            opened()
    with pytest.raises(ConfigurationError, match="run chmod go-w"):
        store.put("one", "x")
    path.parent.chmod(0o1777)  # as /tmp: nobody touches the files of another
    opened().put("one", "x")
    path.parent.chmod(0o700)


def test_what_another_process_changed_is_not_overwritten(
    store: EncryptedFile, opened: Make
) -> None:
    other = opened()
    other.put("theirs", "x")
    with pytest.raises(ConfigurationError, match="another process changed the key store"):
        store.put("ours", "x")
    again = opened()
    again.put("ours", "y")
    assert opened().names() == ("ours", "theirs")


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "keys", tmp_path / "a\0b" / "keys"):
        with pytest.raises(ConfigurationError, match="the folder of the file cannot be read"):
            EncryptedFile.create(path, PASSPHRASE, cost=MIN_COST)
        with pytest.raises(ConfigurationError, match="the folder of the file cannot be read"):
            EncryptedFile.open(path, PASSPHRASE)


def test_disk_that_is_full_leaves_the_old_file(
    store: EncryptedFile, path: Path, opened: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    store.put("one", "x")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ConfigurationError, match="cannot be written: No space left"):
            store.put("two", "x")
    assert opened().names() == store.names() == ("one",)
    assert list(path.parent.iterdir()) == [path]


def test_without_locks_and_owners_it_still_works(
    store: EncryptedFile, path: Path, opened: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encrypted_file, "_fcntl", None)
    monkeypatch.setattr(permissions, "_HAS_OWNERS", False)
    store.put("one", "x")
    path.chmod(0o644)
    assert opened().names() == ("one",)


CURRENT: Final = b'{"state":"current","secret":"x"}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"entries":[]}',
        b'{"entries":{},"more":1}',
        b'{"entries":{"a b":{"kind":"secret","versions":[{"state":"current","secret":"x"}]}}}',
        b'{"entries":{"a":{"kind":"other","versions":[{"state":"current","secret":"x"}]}}}',
        b'{"entries":{"a":{"kind":"secret","versions":[]}}}',
        b'{"entries":{"a":{"kind":"secret","versions":[{"state":"next","secret":"x"}]}}}',
        b'{"entries":{"a":{"kind":"secret","versions":[{"state":"lost","secret":"x"}]}}}',
        b'{"entries":{"a":{"kind":"secret","versions":[{"state":"current"}]}}}',
        b'{"entries":{"a":{"kind":"secret","versions":[{"state":"current","secret":1}]}}}',
        b'{"entries":{"a":{"kind":"secret","versions":[{"state":"current","key":{}}]}}}',
        b'{"entries":{"a":{"kind":"secret","versions":[{"state":"current","secret":"x","key":{}}]}}}',
        b'{"entries":{"a":{"kind":"signing key","versions":[{"state":"current","secret":"x"}]}}}',
        b'{"entries":{"a":{"kind":"secret","versions":[%b,%b]}}}' % (CURRENT, CURRENT),
        b'{"entries":{"a":{"kind":"secret","versions":[%b]},"a":{"kind":"secret","versions":[%b]}}}'
        % (CURRENT, CURRENT),
    ],
)  # fmt: skip
def test_content_of_another_form_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="something of another form"):
        read_entries(content)


def test_key_that_is_none_is_refused_when_it_is_asked_for(path: Path) -> None:
    versions = b'"versions":[{"state":"current","key":{"kty":"EC"}}]'
    content = b'{"entries":{"a":{"kind":"signing key",%b},"b":{"kind":"decryption key",%b}}}'
    path.write_bytes(seal(content % (versions, versions), PASSPHRASE, MIN_COST))
    path.chmod(0o600)
    store = EncryptedFile.open(path, PASSPHRASE)
    with pytest.raises(ConfigurationError, match="the private JWK lacks"):
        store.signer("a")
    with pytest.raises(ConfigurationError, match="the private JWK lacks"):
        store.decryption_keys("b")


#: Processes that kill themselves before the n-th thing that they ask of the system, for every n.
KILLED = """
import os, signal, sys
from pathlib import Path
from portvakt.keystore.encrypted_file import EncryptedFile
path, passphrase = Path(sys.argv[1]), sys.argv[2]

def write(store, step):
    asked = 0
    def hook(event, args):
        nonlocal asked
        if event != "os.kill" and event.startswith(("open", "os.", "fcntl.", "tempfile.")):
            asked += 1
            if asked > step:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    real = {name: getattr(os, name) for name in ("fsync", "close")}
    for name, call in real.items():
        def counted(handle, name=name, call=call):
            hook("os." + name, ())
            return call(handle)
        setattr(os, name, counted)
    store.put("new", "x")
    os._exit(0)

store = EncryptedFile.open(path, passphrase)
before = path.read_bytes()
killed = written = 0
for step in range(100):
    child = os.fork()
    if not child:
        write(store, step)
    ended = os.waitpid(child, 0)[1]
    assert path.stat().st_mode & 0o777 == 0o600
    if path.read_bytes() != before:
        written += 1
        store = EncryptedFile.open(path, passphrase)
        assert store.secret("new") == "x"
        assert store.secret("old") == "y"
        store.remove("new")
        before = path.read_bytes()
    if ended == 0:
        break
    assert ended == signal.SIGKILL
    killed += 1
print(killed, written)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_writer_killed_at_any_moment_leaves_the_old_file_or_the_new(
    store: EncryptedFile, path: Path
) -> None:
    store.put("old", "y")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path, PASSPHRASE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    killed, written = map(int, done.stdout.split())
    assert killed >= 8
    assert 1 <= written < killed


WRITER = """
import sys
from pathlib import Path
from portvakt.keystore.encrypted_file import EncryptedFile
store = EncryptedFile.open(Path(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
for n in range(10_000):
    store.put(f"n{n}", "x" * 1000)
"""


def test_writer_killed_from_outside_in_a_loop(
    store: EncryptedFile, path: Path, opened: Make
) -> None:
    for writes in (1, 3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path, PASSPHRASE], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            seen = [path.read_bytes()]
            while len(seen) <= writes:
                # Whoever reads it meanwhile reads one whole file or another.
                octets = path.read_bytes()
                if octets != seen[-1]:
                    seen.append(octets)
            writer.kill()
        for octets in seen:
            unseal(octets, PASSPHRASE)
        again = opened()
        assert len(again.names()) >= writes
        for name in again.names():
            again.remove(name)


def test_nothing_shows_what_is_in_it(store: EncryptedFile) -> None:
    store.put("secret", "kanari")
    store.put("client", SIGNER)
    held = [store, store._entries]
    for form in (repr, str, pretty_repr):
        seen = form(held)
        assert not [it for it in ("kanari", SIGNER.private_jwk()["d"], PASSPHRASE) if it in seen]
        assert "Version" in seen


def test_link_to_the_file_stays_one(store: EncryptedFile, path: Path, opened: Make) -> None:
    # Else whoever writes by the link, and whoever reads the file, have two key stores.
    link = path.with_name("link")
    link.symlink_to(path.name)
    EncryptedFile.open(link, PASSPHRASE).put("another", "secret")
    assert link.is_symlink()
    assert opened().secret("another") == "secret"


def test_file_is_made_where_a_link_leads(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to("there")
    EncryptedFile.create(link, PASSPHRASE, cost=MIN_COST)
    assert link.is_symlink()
    assert path.with_name("there").is_file()
