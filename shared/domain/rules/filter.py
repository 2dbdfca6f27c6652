"""A CEL expression about messages, for who looks at them: `filter` of GET /v1/messages and of the feed."""

from shared.domain.principal import Principal
from shared.domain.rules.admission import MAX_WORK, affordable, endless
from shared.domain.rules.cel import Program, compile_rule
from shared.domain.rules.facts import Facts, Needs, needs_of
from shared.domain.stored import StoredMessage


class Filter:
    """A compiled filter. Asked of a message only where that is no more than `most` work (20 ns each, admission.py): nobody tries a
    filter first, and who watches or queries shares a process with others.

    Raises ValueError, with what is wrong, for a text that is none.
    """

    def __init__(self, text: str, most: int = MAX_WORK) -> None:
        self._program: Program = compile_rule(text)
        if endless(self._program.shape, most):
            raise ValueError("could take too long on any message: loop over less, and match smaller patterns")
        self._needs: Needs = needs_of([self._program.shape])
        self._most = most

    def matches(self, row: StoredMessage) -> bool:
        """Whether it is true of the message, with its own principal; where it can't be evaluated it isn't.

        `data` is null where the body was cut: half of a JSON text can be one, and would say something else.
        """
        message = row.message
        if not affordable(self._program.shape, message, self._most):
            return False
        facts = Facts(message, Principal(message.principal, message.org, ()), self._needs)
        if row.cut:
            facts.withhold_data()
        said = facts.ask(self._program)
        if isinstance(said, str):
            facts.tame()  # numbers beyond 64 bits
            said = facts.ask(self._program)
        return said is True
