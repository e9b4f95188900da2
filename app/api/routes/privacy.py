"""GET /v1/privacy."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api.dependencies import ServiceSettings, accepts_json, preferred_language
from app.api.privacy import kept
from app.api.problems import responses
from app.api.schemas.classify import LanguageChoice
from app.api.schemas.privacy import Privacy

router = APIRouter(tags=["operations"], dependencies=[Depends(accepts_json)])


@router.get("/privacy", responses=responses("not-acceptable"))
async def get_privacy(
    request: Request, response: Response, settings: ServiceSettings, choice: Annotated[LanguageChoice, Query()]
) -> Privacy:
    """What this service keeps, where, for how long, and who can see it; as its settings are just now."""
    response.headers["Vary"] = "Accept, Accept-Language"
    language = choice.lang or preferred_language(request)
    return Privacy.model_validate({"lang": language, "data": [vars(one) for one in kept(settings, language)]})
