from django.conf import settings
from django.urls import path

from benchmarks.views import WhoView
from config.urls import urlpatterns as project

urlpatterns = [path("who", WhoView.as_view()), *settings.CONTENDER.urls(), *project]
