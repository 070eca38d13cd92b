import shutil
from pathlib import Path

import pytest

from esc_daemon.datamodel.coverage import CoverageError, check_coverage
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import yang_directory
from tests.datamodel.documents import VAULT


def changed(directory: Path, file: str, old: str, new: str) -> Schema:
    """Return the schema of our YANG with one change."""
    shutil.copytree(yang_directory(), directory, dirs_exist_ok=True)
    path = directory / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return Schema(directory)


def test_every_leaf_is_bound_or_listed(schema: Schema) -> None:
    check_coverage(schema)


def test_a_leaf_that_nobody_binds_stops_the_start(tmp_path: Path) -> None:
    leaf = 'leaf colour { type string; description "New."; }\n      leaf image {'
    schema = changed(tmp_path, "esc_vm_group.yang", "leaf image {", leaf)

    with pytest.raises(CoverageError, match=r"deployment: vm_group/colour has neither"):
        Datastore(schema, VAULT)


def test_a_binding_of_a_leaf_that_is_gone_stops_the_start(tmp_path: Path) -> None:
    schema = changed(tmp_path, "esc_image.yang", "leaf vcpus {", "leaf cpus {")

    with pytest.raises(CoverageError, match="flavor: cpus has neither"):
        check_coverage(schema)


def test_a_leaf_beside_all_entries_stops_the_start(tmp_path: Path) -> None:
    new = 'leaf motto { type string; description "New."; }\n    uses vim-connectors;'
    schema = changed(tmp_path, "esc.yang", "uses vim-connectors;", new)

    with pytest.raises(CoverageError, match=r"esc_system_config/motto stands in no entry"):
        check_coverage(schema)


def test_a_presence_container_that_nobody_binds_stops_the_start(tmp_path: Path) -> None:
    new = 'container glow { presence "It glows."; description "New."; }\n      leaf image {'
    schema = changed(tmp_path, "esc_vm_group.yang", "leaf image {", new)

    with pytest.raises(CoverageError, match=r"deployment: vm_group/glow has neither"):
        check_coverage(schema)
