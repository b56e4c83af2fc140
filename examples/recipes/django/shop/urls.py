"""One page: a signed value, and the number of users in the database."""

from django.contrib.auth.models import User
from django.core.signing import dumps
from django.http import HttpRequest, JsonResponse
from django.urls import path


def status(request: HttpRequest) -> JsonResponse:
    """Return something that needs the secret key and the database."""
    return JsonResponse({"signed": dumps("ready"), "users": User.objects.count()})


urlpatterns = [path("", status)]
