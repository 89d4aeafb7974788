<?php function first() { return "se"; }
