"""Render's API: does the key work, is the service there, and how many instances run?"""

from __future__ import annotations

from typing import Any, Final

import httpx

from tools.services.outcome import Outcome, Request, failed, skipped, unreached
from worker.diagnosis.report import Status
from worker.settings import Settings

#: https://api-docs.render.com, operations retrieve-service, list-services and list-instances.
API: Final[str] = Settings.model_fields["render_api_url"].default
KEY_VARIABLE: Final = "RENDER_API_KEY"
_MOST_SERVICES: Final = 100


def check_render(request: Request) -> Outcome:
    """Look the service up by RENDER_SERVICE_ID, or by RENDER_SERVICE_NAME; Render sets both on its instances."""
    key = request.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        return skipped("render", f"{KEY_VARIABLE} is not set")
    try:
        with httpx.Client(
            base_url=request.environ.get("RENDER_API_URL") or API,
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
            timeout=request.timeout,
        ) as api:
            return _look(
                api, request.environ.get("RENDER_SERVICE_ID", ""), request.environ.get("RENDER_SERVICE_NAME", "")
            )
    except httpx.HTTPError as error:
        return unreached("render", error, "RENDER_API_URL")
    except (ValueError, KeyError, TypeError, AttributeError):  # no JSON, or JSON of another shape
        return failed("render", "Another server than Render's API answers.", "Check RENDER_API_URL, or unset it.")


def _look(api: httpx.Client, service_id: str, name: str) -> Outcome:
    listed = api.get(f"/services/{service_id}") if service_id else api.get("/services", params=_filter(name))
    if wrong := _wrong(listed, service_id):
        return wrong
    body = listed.json()
    if not service_id:
        found = [entry["service"] for entry in body if isinstance(entry, dict) and "service" in entry]
        if not name:
            names = ", ".join(sorted(str(each["name"]) for each in found)) or "none"
            fix = "Set RENDER_SERVICE_ID (srv-…, in the dashboard's address) to see its instances."
            return Outcome(
                "render", Status.WARNING, f"The key works; services: {names}.", fix, {"services": len(found)}
            )
        if not found:
            return failed(
                "render", f"The key works, but it sees no service named {name!r}.", "Check the key's workspace."
            )
        body = found[0]
    return _judge(body, api.get(f"/services/{body['id']}/instances"))


def _filter(name: str) -> dict[str, Any]:
    return {"limit": _MOST_SERVICES, **({"name": name} if name else {})}


def _wrong(answer: httpx.Response, service_id: str) -> Outcome | None:
    status = answer.status_code
    if status == httpx.codes.OK:
        return None
    if status in (401, 403):
        fix = "Make a new key in Render's account settings, API keys."
        return failed("render", "The API rejects the key.", fix, http_status=status)
    if status == httpx.codes.NOT_FOUND and service_id:
        fix = "Check RENDER_SERVICE_ID (srv-…), and that the key belongs to the service's workspace."
        return failed("render", "The key works, but it sees no service of that id.", fix, http_status=status)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return failed("render", "The API limits the rate of this key.", "Wait a minute.", http_status=status)
    return failed("render", f"The API answers HTTP {status}.", "See status.render.com.", http_status=status)


def _judge(service: dict[str, Any], instances: httpx.Response) -> Outcome:
    details = service.get("serviceDetails") or {}
    name, kind, plan = service.get("name"), service.get("type"), details.get("plan")
    listed = instances.json() if instances.status_code == httpx.codes.OK else None
    running = len(listed) if isinstance(listed, list) else None
    wanted = details.get("numInstances")
    facts = {"name": name, "type": kind, "plan": plan, "instances": running, "wanted": wanted}
    words = f"{name} ({kind}, plan {plan or 'unknown'})"
    if service.get("suspended") == "suspended":
        return failed("render", f"{words} is suspended.", "Resume it in the dashboard.", **facts)
    if running == 0:
        fix = "See its deploys and its log in the dashboard: it may be failing to start."
        return failed("render", f"{words} has no running instance.", fix, **facts)
    count = f"{running if running is not None else wanted} instance{'s' * ((running or wanted) != 1)}"
    if plan == "free":
        fix = "A sleeping instance runs no jobs: take a paid plan for the worker."
        return Outcome("render", Status.WARNING, f"{words} has {count}; it sleeps while nobody calls it.", fix, facts)
    return Outcome("render", Status.OK, f"{words} has {count}.", facts=facts)
