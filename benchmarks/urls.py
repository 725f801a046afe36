from django.urls import path

from benchmarks.settings import CONTENDER
from benchmarks.views import WhoView
from config.urls import urlpatterns as project

urlpatterns = [path("who", WhoView.as_view()), *CONTENDER.urls(), *project]
