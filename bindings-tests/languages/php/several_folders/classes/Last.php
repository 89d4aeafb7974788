<?php class Last { public $word = "al"; }
