from .deep.last import REST as rest
