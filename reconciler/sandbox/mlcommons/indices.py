"""The indices ML Commons keeps its documents in, and their mappings.

Field names and types are those of ML Commons 2.19 (`common/src/main/resources/index-mappings`), reduced to what is
searched here. `connector_id` of a model is left out there too: it becomes a text field by itself, so a `term` query
on it finds nothing and `match` is by word.
"""

from reconciler.canonical.json import Json

CONNECTORS = ".plugins-ml-connector"
MODELS = ".plugins-ml-model"
MODEL_GROUPS = ".plugins-ml-model-group"
TASKS = ".plugins-ml-task"
CONFIG = ".plugins-ml-config"
AGENTS = ".plugins-ml-agent"
CONTROLLERS = ".plugins-ml-controller"
MEMORIES = ".plugins-ml-memory-meta"
MESSAGES = ".plugins-ml-memory-message"


def _fields(**types: str) -> dict[str, Json]:
    return {name: {"type": kind} for name, kind in types.items()}


def _dates(*names: str) -> dict[str, Json]:
    return {name: {"type": "date", "format": "strict_date_time||epoch_millis"} for name in names}


_NAME: Json = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
_ROLES: Json = {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
_USER: Json = {
    "type": "nested",
    "properties": {"name": _NAME, "backend_roles": _ROLES, "roles": _ROLES, "custom_attribute_names": _ROLES},
}
_CONNECTOR: dict[str, Json] = {
    "name": _NAME,
    **_fields(
        version="keyword",
        description="text",
        protocol="keyword",
        parameters="flat_object",
        credential="flat_object",
        client_config="flat_object",
        actions="flat_object",
    ),
}
_GUARDRAIL: Json = {
    "properties": {
        **_fields(regex="text"),
        "stop_words": {"properties": _fields(index_name="text", source_fields="text")},
    }
}

PROPERTIES: dict[str, dict[str, Json]] = {
    CONNECTORS: {
        **_CONNECTOR,
        "backend_roles": _NAME,
        "owner": _USER,
        **_fields(access="keyword", tenant_id="keyword"),
        **_dates("created_time", "last_updated_time"),
    },
    MODELS: {
        "name": _NAME,
        **_fields(
            algorithm="keyword",
            version="long",
            model_version="keyword",
            model_group_id="keyword",
            model_content="binary",
            chunk_number="long",
            total_chunks="long",
            model_id="keyword",
            description="text",
            model_format="keyword",
            model_state="keyword",
            planning_worker_node_count="integer",
            current_worker_node_count="integer",
            planning_worker_nodes="keyword",
            deploy_to_all_nodes="boolean",
            is_hidden="boolean",
            tenant_id="keyword",
            deploy_setting="flat_object",
            is_enabled="boolean",
            is_controller_enabled="boolean",
            rate_limiter="flat_object",
            auto_redeploy_retry_times="integer",
            interface="flat_object",
        ),
        **_dates(
            "created_time",
            "last_updated_time",
            "last_registered_time",
            "last_deployed_time",
            "last_undeployed_time",
        ),
        "guardrails": {"properties": {"input_guardrail": _GUARDRAIL, "output_guardrail": _GUARDRAIL}},
        "connector": {"properties": _CONNECTOR},
        "user": _USER,
    },
    MODEL_GROUPS: {
        "name": _NAME,
        **_fields(
            description="text",
            latest_version="integer",
            model_group_id="keyword",
            tenant_id="keyword",
            access="keyword",
        ),
        "backend_roles": _NAME,
        "owner": _USER,
        **_dates("created_time", "last_updated_time"),
    },
    TASKS: {
        **_fields(
            model_id="keyword",
            task_type="keyword",
            function_name="keyword",
            state="keyword",
            input_type="keyword",
            progress="float",
            worker_node="keyword",
            error="text",
            tenant_id="keyword",
            is_async="boolean",
            remote_job="flat_object",
        ),
        **_dates("create_time", "last_update_time"),
        "user": _USER,
    },
    CONFIG: {
        **_fields(master_key="keyword", config_type="keyword", tenant_id="keyword"),
        **_dates("create_time", "last_updated_time"),
    },
    AGENTS: {
        "name": _NAME,
        **_fields(
            type="keyword",
            description="text",
            llm="flat_object",
            tools="flat_object",
            parameters="flat_object",
            memory="flat_object",
            is_hidden="boolean",
            app_type="keyword",
            tenant_id="keyword",
        ),
        **_dates("created_time", "last_updated_time"),
    },
    CONTROLLERS: _fields(user_rate_limiter="flat_object"),
    MEMORIES: {
        **_fields(name="text", user="keyword", application_type="keyword", additional_info="flat_object"),
        **_dates("create_time", "updated_time"),
    },
    MESSAGES: {
        **_fields(
            memory_id="keyword",
            input="text",
            prompt_template="text",
            response="text",
            origin="keyword",
            additional_info="flat_object",
            parent_message_id="keyword",
            trace_number="long",
        ),
        **_dates("create_time"),
    },
}
