"""Scripts that are refused at one of their commands, as a server refuses them: what was written before stays."""

from __future__ import annotations

import redis as redis_py

from worker.redis.scripts import Script

#: Stands in the place of ``local call = redis.call``. Every command of the script goes through `checked`; the refused
#: one is answered as Redis and Valkey answer a user without the right to it.
_CHECKING = """
local command_number, real = 0, {call = redis.call, pcall = redis.pcall}
local function checked(how, name, ...)
  command_number = command_number + 1
  if command_number == REFUSED_NUMBER or string.upper(name) == REFUSED_NAME then
    real.call('SET', 'test:refused', name)
    local answer = {err = "NOPERM User svc has no permissions to run the '" .. string.lower(name) .. "' command"}
    if how == 'pcall' then return answer end
    error(answer)
  end
  return real[how](name, ...)
end
local redis = setmetatable({
  call = function(...) return checked('call', ...) end,
  pcall = function(...) return checked('pcall', ...) end,
}, {__index = redis})
local call = redis.call
"""
_CALL = "local call = redis.call\n"


def refused(script: Script, *, number: int = 0, name: str = "") -> Script:
    """Return the script as it runs where its command `number` (from 1), or each command `name`, is refused."""
    assert script.text.count(_CALL) == 1
    checking = _CHECKING.replace("REFUSED_NUMBER", str(number)).replace("REFUSED_NAME", f"'{name}'")
    return Script(script.name, script.text.replace(_CALL, checking))


def was_refused(redis: redis_py.Redis) -> bool:
    """Whether a command was refused since the last call."""
    return bool(redis.delete("test:refused"))
