"""Addresses of files at the archives where recordings are published.

Each function returns what ``RemoteFile(url=...)`` takes.

Examples
--------
>>> zenodo("8044773", "wav.zip")
'https://zenodo.org/api/records/8044773/files/wav.zip/content'
"""

from __future__ import annotations

from urllib.parse import quote

__all__ = ["CRCNS", "FIGSHARE_API", "bitbucket", "crcns", "figshare", "github", "osf", "zenodo"]

CRCNS = "https://portal.nersc.gov/project/crcns/download/"
FIGSHARE_API = "https://api.figshare.com/v2/articles/"


def osf(guid: str) -> str:
    """A file of the Open Science Framework, by its five letters."""
    return f"https://osf.io/download/{guid}/"


def zenodo(record: str, name: str) -> str:
    """The file `name` of a record on Zenodo."""
    return f"https://zenodo.org/api/records/{record}/files/{quote(name)}/content"


def figshare(article: str) -> str:
    """The file of an article on figshare that has the name of the `RemoteFile`; or the only file of the article."""
    return FIGSHARE_API + article


def github(repository: str, path: str, ref: str = "HEAD") -> str:
    """A file in a repository ``owner/name`` on GitHub, at a branch, tag or commit."""
    return f"https://raw.githubusercontent.com/{repository}/{ref}/{quote(path)}"


def bitbucket(repository: str, path: str, ref: str = "HEAD") -> str:
    """A file in a repository ``owner/name`` on Bitbucket."""
    return f"https://bitbucket.org/{repository}/raw/{ref}/{quote(path)}"


def crcns(path: str) -> str:
    """A file of CRCNS, such as ``aa-1/crcns-aa1.zip``; it needs an account."""
    return CRCNS + path
