import json
import os

from words import first, rest
from words.deep.last import LETTER

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "settings.json")) as file:
    print(first.letters() + json.load(file)["middle"] + rest + LETTER)
