"""What deployments of the campaign of kills are like: what was asked for is known again."""

from random import Random

from lxml import etree
from payloads import inside
from shapes import another, any_shape, only_adds, shape_of


def test_what_an_update_puts_into_running_is_read_back_from_it() -> None:
    for seed in range(200):
        random = Random(seed)
        before = any_shape(f"d-{seed}", random)
        after = another(before, random)

        found = etree.fromstring(inside("t", after.xml())).find(".//{*}deployment")
        assert found is not None
        assert shape_of(found) == after != before
        assert only_adds(before, before)
