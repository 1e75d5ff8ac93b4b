"""Command of `make images`: pin images of the compose file and Dockerfile by digest.

A digest comes from the image's registry, by its HTTP API, and from nowhere else. If one of them
cannot be read, no file is changed.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
_DEFAULT_REGISTRY: Final = "registry-1.docker.io"
"""Registry of images without a host in their name, as Docker has it."""
_MANIFESTS: Final = (
    "application/vnd.oci.image.index.v1+json",  # for all platforms, before those for one
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DIGEST: Final = re.compile("sha256:[0-9a-f]{64}")
_PIN: Final = re.compile(r"^(\s+image: |FROM )(\S+)", re.MULTILINE)


class ImageError(Exception):
    """No digest of an image could be read."""


@dataclass(frozen=True)
class Image:
    """An image by its tag.

    :param name: The name in the file, without a digest.
    """

    name: str

    @property
    def _parts(self) -> tuple[str, str, str]:
        """Return the host, the repository and the tag."""
        path, colon, tag = self.name.rpartition(":")
        if not colon or "/" in tag:
            path, tag = self.name, "latest"
        host, slash, rest = path.partition("/")
        if slash and (re.search("[.:]", host) or host == "localhost"):
            return host, rest, tag
        return _DEFAULT_REGISTRY, path if slash else f"library/{path}", tag

    @property
    def host(self) -> str:
        """Return the host of the registry, with its port."""
        return self._parts[0]

    @property
    def url(self) -> str:
        """Return the address of the manifest; a registry on this machine has no TLS."""
        host, repository, tag = self._parts
        is_here = host.partition(":")[0] in {"localhost", "127.0.0.1"}
        return f"{'http' if is_here else 'https'}://{host}/v2/{repository}/manifests/{tag}"


def digest_of(image: Image, client: httpx.Client) -> str:
    """Read the digest of an image from its registry.

    :raises ImageError: if the registry cannot be reached, or does not name one.
    """
    try:
        return _read(image, client)
    except httpx.HTTPError as error:
        raise ImageError(f"{image.host} cannot be reached for {image.name}: {error}") from error


def _read(image: Image, client: httpx.Client) -> str:
    headers = {"Accept": ", ".join(_MANIFESTS)}
    response = client.head(image.url, headers=headers)
    if response.status_code == httpx.codes.UNAUTHORIZED:
        headers["Authorization"] = f"Bearer {_token(response, client)}"
        response = client.head(image.url, headers=headers)
    if response.status_code != httpx.codes.OK:
        raise ImageError(f"{image.host} answers {response.status_code} for {image.name}.")
    if _DIGEST.fullmatch(named := response.headers.get("Docker-Content-Digest", "")):
        return str(named)
    # A registry may leave the header out: the digest is that of the manifest's bytes.
    manifest = client.get(image.url, headers=headers).raise_for_status()
    if manifest.headers.get("Content-Type", "") not in _MANIFESTS:
        raise ImageError(f"{image.host} sends no manifest for {image.name}.")
    return f"sha256:{hashlib.sha256(manifest.content).hexdigest()}"


def _token(refused: httpx.Response, client: httpx.Client) -> str:
    """Return the token for everybody, from the server that the refusal names."""
    challenge = dict(re.findall(r'(\w+)="([^"]*)"', refused.headers.get("WWW-Authenticate", "")))
    if "realm" not in challenge:
        raise ImageError(f"{refused.url.host} asks for a login.")
    realm = challenge.pop("realm")
    given = client.get(realm, params=challenge).raise_for_status().json()
    return str(given.get("token") or given["access_token"])


def pin(paths: Iterable[Path], client: httpx.Client) -> list[str]:
    """Pin the images in files, all or none, and return the pins.

    :raises ImageError: if a digest cannot be read; no file is changed then.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    built = {name for text in texts.values() for name in _built(text)}
    names = {found[2].partition("@")[0] for text in texts.values() for found in _PIN.finditer(text)}
    pins = {name: f"{name}@{digest_of(Image(name), client)}" for name in sorted(names - built)}

    def replaced(found: re.Match[str]) -> str:
        return found[1] + pins.get(found[2].partition("@")[0], found[2])

    for path, text in texts.items():
        path.write_text(_PIN.sub(replaced, text), encoding="utf-8")
    return list(pins.values())


def _built(text: str) -> set[str]:
    """Return the images that a compose file builds itself."""
    if not re.search("^services:", text, re.MULTILINE):
        return set()
    services = yaml.safe_load(text)["services"].values()
    return {one["image"] for one in services if "build" in one}


def main(paths: Iterable[Path]) -> None:
    """Pin the images, and print the pins."""
    with httpx.Client(timeout=20, follow_redirects=True) as client:
        try:
            pins = pin(paths, client)
        except ImageError as error:
            sys.exit(f"{error}\nNo image was pinned, and no file was changed.")
    sys.stdout.writelines(f"{one}\n" for one in pins)


if __name__ == "__main__":
    main([ROOT / "docker-compose.yaml", ROOT / "Dockerfile"])
