from django.contrib import admin
from django.contrib.auth.models import Group

admin.site.unregister(Group)
admin.site.site_header = admin.site.site_title = "Guestlist"
admin.site.index_title = "Administration"
admin.site.enable_nav_sidebar = False  # the lists need the width
