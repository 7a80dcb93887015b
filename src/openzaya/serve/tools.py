"""Tools in ZAYA's form: how they are told to the model, and calls read from what it writes.

    <zyphra_tool_call>
    <function=get_weather>
    <parameter=city>Paris</parameter>
    </function>
    </zyphra_tool_call>

The wording that lists the tools is ours (the released models' is not public: DEFAULT).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

from openzaya.serve.schema import ChatMessage, FunctionCall, Tool, ToolCall
from openzaya.types import Message

OPEN, CLOSE = "<zyphra_tool_call>", "</zyphra_tool_call>"
RESULT, END_RESULT = "<zyphra_tool_response>", "</zyphra_tool_response>"
_CALL = re.compile(rf"{OPEN}(.*?)(?:{CLOSE}|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"\s*<function=([^>\s]+)>(.*?)</function>\s*\Z", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>", re.DOTALL)


def with_tools(messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> tuple[Message, ...]:
    """Turns for the chat form; the tools stand at the end of the system prompt."""
    turns: list[Message] = []
    for m in messages:
        if m.role == "assistant":
            text = m.text + "".join(_written(call) for call in m.tool_calls or ())
            turns.append(Message("assistant", text, m.reasoning_content or m.reasoning))
        elif m.role == "tool":
            turns.append(Message("user", f"{RESULT}\n{m.text}\n{END_RESULT}"))
        else:
            turns.append(Message("system" if m.role == "developer" else m.role, m.text))
    if not tools:
        return tuple(turns)
    listed = "\n".join(json.dumps(t.function.model_dump(exclude_none=True)) for t in tools)
    told = (
        f"Tools, one JSON description per line:\n{listed}\n\nTo use one, write\n{OPEN}\n"
        f"<function=name>\n<parameter=x>value</parameter>\n</function>\n{CLOSE}"
    )
    if turns and turns[0].role == "system":
        turns[0] = Message("system", f"{turns[0].content}\n\n{told}")
    else:
        turns.insert(0, Message("system", told))
    return tuple(turns)


def read_calls(content: str, tools: Sequence[Tool]) -> tuple[str, list[ToolCall]]:
    """The text without its calls, and the calls. What is no well-formed call of a given tool stays
    text: a client can show it, and nothing is lost."""
    calls: list[ToolCall] = []
    types = {t.function.name: t.function.parameters.get("properties", {}) for t in tools}

    def replaced(match: re.Match[str]) -> str:
        function = _FUNCTION.match(match[1])
        if function is None or function[1] not in types:
            return match[0]
        properties = types[function[1]]
        arguments = {
            name: _value(text, properties.get(name) if isinstance(properties, dict) else None)
            for name, text in _PARAMETER.findall(function[2])
        }
        call = FunctionCall(name=function[1], arguments=json.dumps(arguments))
        calls.append(ToolCall(id=f"call_{uuid.uuid4().hex[:24]}", function=call))
        return ""

    return _CALL.sub(replaced, content).strip(), calls


def _value(text: str, schema: Any) -> Any:
    """A parameter as its schema's type; text where it is none of it."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind in (None, "string"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _written(call: ToolCall) -> str:
    """A call of an earlier turn as the model would have written it."""
    try:
        arguments = json.loads(call.function.arguments)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        arguments = {"arguments": call.function.arguments}
    lines = [
        f"<parameter={k}>{v if isinstance(v, str) else json.dumps(v)}</parameter>"
        for k, v in arguments.items()
    ]
    body = "\n".join([f"<function={call.function.name}>", *lines, "</function>"])
    return f"{OPEN}\n{body}\n{CLOSE}"
