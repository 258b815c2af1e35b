"""The public recordings: where their files lie, under which terms, and whom to cite.

Of most files no checksum was published where we could read it: theirs is written down at the first download.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from deepSTRF.cards import DatasetCard
from deepSTRF.datasets.download import RemoteFile
from deepSTRF.datasets.hosts import CRCNS, crcns, drum, figshare, github, osf, zenodo

__all__ = ["RECORDINGS", "PublicRecording"]


@dataclass(frozen=True)
class PublicRecording:
    """A recording that anybody can download."""

    name: str
    """Its key, and the folder below ``$DEEPSTRF_DATA_DIR``. On the command line it is this in lower case."""
    page: str
    """Where a person finds it."""
    licence: str
    """The terms that it was published under."""
    citation: str
    """Whom to cite, with the DOI."""
    files: tuple[RemoteFile, ...]
    """All its files."""
    size: str
    """How much there is to download, in words."""

    @property
    def needs_login(self) -> bool:
        """Whether an account is needed to download its files."""
        return any(url.startswith(CRCNS) for file in self.files for url in file.urls)

    def card(self, summary: str, species: str, area: str, size: str, default_split: str) -> DatasetCard:
        """Card of the data set that reads it, see :class:`~deepSTRF.registry.DatasetCard`; what is known is filled in.

        Examples
        --------
        >>> card = RECORDINGS["NS1"].card("units listening to sounds", "ferret", "A1", "119 neurons", "checkpoint")
        >>> card.name, card.recording, card.licence == RECORDINGS["NS1"].licence
        ('ns1', 'NS1', True)
        """
        return DatasetCard(
            name=self.name.lower(),
            summary=summary,
            species=species,
            area=area,
            size=size,
            paper=self.citation,
            licence=self.licence,
            default_split=default_split,
            recording=self.name,
        )


_AA4_ANIMALS = ("BlaBro09xxF", "GreBlu9508M", "LblBlu2028M", "WhiBlu5396M", "WhiWhi4522M", "YelBlu6903F")
_CRCNS_TERMS = (
    "CRCNS terms of use (https://crcns.org/terms): for scientific purposes only, not to be redistributed; name the "
    "contributors and CRCNS as the source, and cite the original papers"
)


def _on_page(page: str) -> str:
    return f"that which its page names, {page}; openly available"


def _on_zenodo(record: str, name: str, part: str = "", gives: str = "") -> RemoteFile:
    return RemoteFile(name, zenodo(record, name), part=part, gives=gives)


def _on_crcns(path: str, part: str = "", gives: str = "") -> RemoteFile:
    return RemoteFile(path.rsplit("/", 1)[-1], crcns(path), part=part, gives=gives)


_ALL = (
    PublicRecording(
        name="NS1",
        page="https://osf.io/ayw2p",
        licence="none stated; openly available at https://osf.io/ayw2p",
        citation="Harper et al. 2016, PLoS Comput Biol, doi:10.1371/journal.pcbi.1005113",
        size="155 MB",
        files=(
            RemoteFile(
                "MetadataSHEnCneurons.mat",
                osf("gdwyd"),
                "857f7821dcd7f388cb94cb97b1086fcfc27a9196718e83d81feab60c79c7bb3c",
            ),
            RemoteFile("spikesandwav.zip", osf("5nxga")),
            RemoteFile("test_data_5ms.mat", github("monzilur/DNet", "test_data_5ms.mat", "master"), part="authors"),
        ),
    ),
    PublicRecording(
        name="NAT4",
        page="https://doi.org/10.5281/zenodo.8044773",
        licence="CC BY 4.0",
        citation="Pennington & David 2023, PLoS Comput Biol, doi:10.1371/journal.pcbi.1011110",
        size="108 MB (A1), 50 MB (PEG)",
        files=(
            *(
                _on_zenodo("8044773", f"{area}_{name}", area, gives and f"{area}_{gives}")
                for area in ("A1", "PEG")
                for name, gives in (
                    ("NAT4_ozgf.fs100.ch18.tgz", ""),
                    ("pred_correlation.csv", ""),
                    ("single_sites.zip", "single_sites"),
                )
            ),
            _on_zenodo("8044773", "wav.zip", "wav", "wav"),
        ),
    ),
    PublicRecording(
        name="AA1",
        page="https://doi.org/10.6080/K0F769GP",
        licence=_CRCNS_TERMS,
        citation="Theunissen et al. 2009, single-unit recordings from two auditory areas in male zebra finches, "
        "CRCNS.org, doi:10.6080/K0F769GP",
        size="17 MB",
        files=(_on_crcns("aa-1/crcns-aa1.zip", gives="all_stims"),),
    ),
    PublicRecording(
        name="AA2",
        page="https://doi.org/10.6080/K0JW8BSC",
        licence=_CRCNS_TERMS,
        citation="Theunissen et al. 2011, single-unit recordings from multiple auditory areas in male zebra finches, "
        "CRCNS.org, doi:10.6080/K0JW8BSC",
        size="30 MB",
        files=(
            _on_crcns("aa-2/crcns-aa2-docs.tar.gz", gives="cell_regions.csv"),
            _on_crcns("aa-2/crcns-aa2-all_cells.tar.gz", gives="all_cells"),
            _on_crcns("aa-2/crcns-aa2-all_stims.tar.gz", gives="all_stims"),
        ),
    ),
    PublicRecording(
        name="AA4",
        page="https://doi.org/10.6080/K00C4T06",
        licence=_CRCNS_TERMS,
        citation="Elie & Theunissen 2019, recordings of auditory neurons in zebra finches presented with all their "
        "vocalizations, CRCNS.org, doi:10.6080/K00C4T06",
        size="hundreds of MB for each of 6 animals",
        files=tuple(_on_crcns(f"aa-4/{animal}.tar.gz", animal, animal) for animal in _AA4_ANIMALS),
    ),
    PublicRecording(
        name="CRCNS_AC1",
        page="https://doi.org/10.6080/K0KW5CXR",
        licence=_CRCNS_TERMS,
        citation="Asari, Wehr, Machens & Zador 2009, auditory cortex and thalamic neuronal responses to various "
        "natural and synthetic sounds, CRCNS.org, doi:10.6080/K0KW5CXR",
        size="4.1 GB unpacked, of which Wehr 1.1 GB",
        files=(
            _on_crcns("ac-1/crcns-ac1.zip", gives="crcns-ac1"),
            _on_crcns("ac-1/crcns-ac1-asari-results-1.zip", "asari", "asari-results-1"),
            _on_crcns("ac-1/crcns-ac1-asari-results-2.zip", "asari", "asari-results-2"),
        ),
    ),
    PublicRecording(
        name="Espejo",
        page="https://doi.org/10.5281/zenodo.3445557",
        licence=_on_page("https://doi.org/10.5281/zenodo.3445557"),
        citation="Lopez Espejo, Schwartz & David 2019, PLoS Comput Biol, doi:10.1371/journal.pcbi.1007430",
        size="638 MB (nat), 25 MB (vmn)",
        files=(
            _on_zenodo("3445557", "A1_natural_sounds.tgz", "nat", "NAT"),
            _on_zenodo("3445557", "A1_voc_mod_noise.tgz", "vmn", "VMN"),
        ),
    ),
    PublicRecording(
        name="Alice_EEG",
        page="https://doi.org/10.13016/pulf-lndn",
        licence=_on_page("https://doi.org/10.13016/pulf-lndn"),
        citation="Bhattasali et al. 2020, Proc. LREC 12; Brodbeck et al. 2023, eLife, doi:10.7554/eLife.85012",
        size="2.5 GB",
        files=(
            RemoteFile("stimuli.zip", drum("df241468-26ee-42df-b27f-3f438cfc5a3f"), gives="stimuli"),
            RemoteFile("eeg.0.zip", drum("264ca110-f7f4-4fd5-9b00-896102b841ad"), gives="eeg.0"),
            RemoteFile("eeg.1.zip", drum("bef532d8-cf74-4b9d-9b4c-5c1f81610ce9"), gives="eeg.1"),
            RemoteFile("eeg.2.zip", drum("25fc51ae-d1fa-4094-85af-65dd4cf30251"), gives="eeg.2"),
        ),
    ),
    PublicRecording(
        name="Le_2025",
        page="https://doi.org/10.6084/m9.figshare.29203457",
        licence=_on_page("https://doi.org/10.6084/m9.figshare.29203457"),
        citation="Le, Bjoring & Meliza 2025, Nat Commun, doi:10.1038/s41467-025-63182-y",
        size="105 MB",
        files=(
            RemoteFile("zebf-auditory-restoration-1.zip", figshare("29203457"), gives="zebf-auditory-restoration-1"),
        ),
    ),
    PublicRecording(
        name="Downer2025",
        page="https://doi.org/10.5281/zenodo.16175377",
        licence="CC BY 4.0",
        citation="Ahmed et al. 2025, PLoS Comput Biol, doi:10.1371/journal.pcbi.1013334; Downer et al., J "
        "Neurophysiol, doi:10.1152/jn.00709.2020",
        size="29 GB, and as much again unpacked",
        files=(_on_zenodo("16175377", "auditory_cortex_data.zip", gives="sessions_metadata.yml"),),
    ),
    PublicRecording(
        name="Wingert2026",
        page="https://doi.org/10.5281/zenodo.18331549",
        licence=_on_page("https://doi.org/10.5281/zenodo.18331549"),
        citation="Wingert et al. 2026, Nat Neurosci, doi:10.1038/s41593-026-02216-0",
        size="4.4 GB; 3.7 GB more for the sounds",
        files=(
            _on_zenodo("18331549", "cell_list.csv"),
            _on_zenodo("18331549", "recordings.zip", gives="recordings"),
            _on_zenodo("18331549", "wav.zip", "wav", "wav"),
        ),
    ),
)

RECORDINGS: Mapping[str, PublicRecording] = MappingProxyType({recording.name: recording for recording in _ALL})
"""Every public recording that deepSTRF knows, by its name."""
