"""Options that several commands have, said once: their help is the same everywhere."""

from typing import Annotated

import typer

OrgOption = Annotated[str | None, typer.Option(help="Another org, for system admins.")]
MadeOrgOption = Annotated[
    str | None, typer.Option(help="Another org, for system admins. One that isn't there is made, with its first principal.")
]
ReasonOption = Annotated[str, typer.Option(help="Why: kept with the revision.")]
