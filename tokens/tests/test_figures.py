"""The counts that a purge takes."""

from django.core.management import call_command
from django.utils import timezone

from tokens.models import Figure


def values():
    """The figures by name, without those of the keys."""
    figures = Figure.objects.exclude(name__startswith=Figure.OF_KEY)
    return dict(figures.values_list("name", "value"))


def test_a_purge_takes_the_figures(api, alice, bob, browser, age):
    for _ in range(2):
        api(alice)
    browser(bob)
    api(bob).post("logout")
    age(api(bob).device, days=59)
    before = timezone.now()

    call_command("purge_devices")

    assert values() == {"live_devices": 3, "devices_past_retention": 0}
    assert all(figure.taken_at >= before for figure in Figure.objects.all())


def test_a_dry_run_takes_no_figures(api, alice):
    call_command("purge_devices", dry_run=True)
    assert values() == {}


def test_each_purge_replaces_the_figures_of_the_one_before(api, alice):
    api(alice)
    call_command("purge_devices")
    first = Figure.objects.get(name="live_devices")
    Figure.objects.create(name="gone", value=1, taken_at=first.taken_at)
    api(alice)

    call_command("purge_devices")

    assert "gone" not in values()
    again = Figure.objects.get(name="live_devices")
    assert again.value == 2
    assert again.taken_at > first.taken_at
