"""How the registry answers what changes it."""

from urllib.parse import quote

from fastapi import Response
from starlette.status import HTTP_200_OK, HTTP_202_ACCEPTED, HTTP_204_NO_CONTENT

from functions.registry_crud.views import id_of, view
from shared.domain.principal import Principal
from shared.domain.registry.deciding import Kept, Written
from shared.edge.writing import json_answer


def kept_answer(kept: Kept, caller: Principal) -> Response:
    """What is declared, with its entity tag: the revision that last changed that. What was found of it has none."""
    return json_answer(view(kept, caller), HTTP_200_OK, kept.revision)


def written_answer(written: Written, caller: Principal, below: str) -> Response:
    """202 and where it is found, for what is declared and will be done; 200 where nothing changed; 204 where it is gone."""
    if written.kept is None:
        return Response(status_code=HTTP_204_NO_CONTENT)
    status = HTTP_202_ACCEPTED if written.changed else HTTP_200_OK
    answer = json_answer(view(written.kept, caller), status, written.kept.revision)
    answer.headers["location"] = f"{below}/{quote(id_of(written.kept.declared), safe='')}"
    return answer
