"""People who are moved with `dumpdata` and `loaddata` stay signed in, if nothing is rounded."""

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import User


@pytest.mark.parametrize(("format", "status"), [("xml", 200), ("json", 401)])
def test_devices_survive_a_dump_of_people(api, alice, tmp_path, format, status):
    """JSON cuts the microseconds of the last password change. Then no device fits it any more."""
    now = timezone.now().replace(microsecond=123456)
    User.objects.filter(pk=alice.pk).update(password_changed_at=now)
    phone, dump = api(alice), tmp_path / f"people.{format}"

    call_command("dumpdata", "accounts.user", format=format, output=str(dump))
    call_command("loaddata", str(dump), verbosity=0)

    answer = phone.get("me")
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["code"] == "password_changed"
