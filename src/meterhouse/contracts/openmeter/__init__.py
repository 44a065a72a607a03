"""OpenMeter: events, meters and queries, customers, entitlements and grants, as its API of version 1 and 2 has them."""

from __future__ import annotations

from ...domain.operator_key import Role
from ..contract import bearer
from ..namespace_contract import NamespaceContract, Operation
from . import (
    customers,
    entitlements,
    events,
    features,
    grants,
    group_values,
    meter_queries,
    meters,
    portal,
    subjects,
    values,
)
from .records import NAME
from .wire import refuse

_METER = "/api/v1/meters/{meter}"
_OF_SUBJECT = "/api/v1/subjects/{subject}/entitlements"
_OF_CUSTOMER = "/api/v2/customers/{customer}/entitlements"
_PORTAL_QUERY = "/api/v1/portal/meters/{meter}/query"


def _entitled(path: str) -> tuple[Operation, ...]:
    """What is the same for subjects and for customers."""
    one = f"{path}/{{entitlement}}"
    return (
        Operation("POST", path, entitlements.create_entitlement, "Create an entitlement"),
        Operation("GET", path, entitlements.list_entitlements, "List entitlements"),
        Operation("GET", one, entitlements.get_entitlement, "Get an entitlement"),
        Operation("DELETE", one, entitlements.delete_entitlement, "Delete an entitlement"),
        Operation("PUT", f"{one}/override", entitlements.override_entitlement, "Override an entitlement"),
        Operation("POST", f"{one}/reset", entitlements.reset_entitlement, "Begin the usage period anew"),
        Operation("GET", f"{one}/history", values.entitlement_history, "Tell what happened to the balance"),
        Operation("POST", f"{one}/grants", grants.create_grant, "Create a grant"),
        Operation("GET", f"{one}/grants", grants.list_grants, "List the grants of an entitlement"),
    )


CONTRACT = NamespaceContract(
    name=NAME,
    title="OpenMeter",
    source="https://openmeter.io/docs/api/cloud, and what its clients send",
    credential=bearer,
    refuse=refuse,
    operations=(
        Operation("POST", "/api/v1/events", events.ingest, "Ingest events", Role.INGEST),
        Operation("GET", "/api/v1/events", events.list_events, "List events"),
        Operation("GET", "/api/v2/events", events.list_events_by_cursor, "List events page by page"),
        Operation("GET", "/api/v1/meters", meters.list_meters, "List meters"),
        Operation("POST", "/api/v1/meters", meters.create_meter, "Create a meter"),
        Operation("GET", _METER, meters.get_meter, "Get a meter"),
        Operation("PUT", _METER, meters.replace_meter, "Replace a meter's name, metadata and groups"),
        Operation("DELETE", _METER, meters.delete_meter, "Delete a meter"),
        Operation("GET", f"{_METER}/query", meter_queries.query_meter, "Query a meter"),
        Operation("POST", f"{_METER}/query", meter_queries.query_meter_by_body, "Query a meter by a body"),
        Operation("GET", f"{_METER}/subjects", group_values.list_meter_subjects, "List a meter's subjects"),
        Operation(
            "GET", f"{_METER}/group-by/{{group}}/values", group_values.list_group_values, "List the values of a group"
        ),
        Operation("POST", "/api/v1/customers", customers.create_customer, "Create a customer"),
        Operation("GET", "/api/v1/customers", customers.list_customers, "List customers"),
        Operation("GET", "/api/v1/customers/{customer}", customers.get_customer, "Get a customer"),
        Operation("PUT", "/api/v1/customers/{customer}", customers.replace_customer, "Replace a customer"),
        Operation("DELETE", "/api/v1/customers/{customer}", customers.delete_customer, "Delete a customer"),
        Operation("POST", "/api/v1/subjects", subjects.upsert_subjects, "Create or change subjects"),
        Operation("GET", "/api/v1/subjects", subjects.list_subjects, "List subjects"),
        Operation("GET", "/api/v1/subjects/{subject}", subjects.get_subject, "Get a subject"),
        Operation("DELETE", "/api/v1/subjects/{subject}", subjects.delete_subject, "Delete a subject"),
        Operation("POST", "/api/v1/features", features.create_feature, "Create a feature"),
        Operation("GET", "/api/v1/features", features.list_features, "List features"),
        Operation("GET", "/api/v1/features/{feature}", features.get_feature, "Get a feature"),
        Operation("DELETE", "/api/v1/features/{feature}", features.delete_feature, "Archive a feature"),
        *_entitled(_OF_SUBJECT),
        *_entitled(_OF_CUSTOMER),
        Operation("GET", f"{_OF_SUBJECT}/{{feature}}/value", values.subject_value, "What a subject has of a feature"),
        Operation(
            "GET",
            "/api/v1/customers/{customer}/entitlements/{feature}/value",
            values.customer_value,
            "What a customer has of a feature",
        ),
        Operation(
            "GET",
            f"{_OF_CUSTOMER}/{{feature}}/value",
            values.customer_value_with_grants,
            "What a customer has of a feature, and of each grant",
        ),
        Operation("GET", "/api/v1/customers/{customer}/access", values.customer_access, "What a customer has of all"),
        Operation("GET", "/api/v1/entitlements", entitlements.list_all_entitlements, "List all entitlements"),
        Operation("GET", "/api/v2/entitlements", entitlements.page_all_entitlements, "List all, page by page"),
        Operation("GET", "/api/v1/entitlements/{entitlement}", entitlements.get_any_entitlement, "Get by id"),
        Operation("GET", "/api/v2/entitlements/{entitlement}", entitlements.get_any_entitlement, "Get by id"),
        Operation("GET", "/api/v1/grants", grants.list_all_grants, "List all grants"),
        Operation("GET", "/api/v2/grants", grants.page_all_grants, "List all grants, page by page"),
        Operation("DELETE", "/api/v1/grants/{grant}", grants.void_grant, "Void a grant"),
        Operation("POST", "/api/v1/portal/tokens", portal.create_token, "Create a portal token"),
        Operation("GET", "/api/v1/portal/tokens", portal.list_tokens, "List portal tokens"),
        Operation("POST", "/api/v1/portal/tokens/invalidate", portal.invalidate_tokens, "End portal tokens"),
        Operation(
            "GET",
            _PORTAL_QUERY,
            portal.query_by_token,
            "Query a meter by a portal token",
            guest=portal.namespace_of_token,
            headers=portal.CROSS_ORIGIN,
        ),
        Operation(
            "OPTIONS", _PORTAL_QUERY, portal.preflight, "Let a browser ask", role=None, headers=portal.CROSS_ORIGIN
        ),
    ),
)
