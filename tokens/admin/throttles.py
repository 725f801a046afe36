from django.contrib import admin

from accounts import throttling
from accounts.admin.throttles import ThrottleAdmin
from accounts.models import Throttle
from tokens.models import IssuedToken


@admin.register(Throttle)
class ThrottleWithDevicesAdmin(ThrottleAdmin):
    """The list of throttles. It also knows which ones count attempts on superusers' devices."""

    def of_superusers(self):
        # No password is asked on a device that has ended, so nothing is locked there.
        devices = IssuedToken.objects.filter(user__is_superuser=True).live()
        return throttling.of_superusers(devices.values_list("pk", flat=True))
