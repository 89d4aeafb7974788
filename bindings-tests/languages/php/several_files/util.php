<?php function word() { return "several"; }
