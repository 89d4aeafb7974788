#!/usr/bin/env php
<?php
declare(strict_types=1);
echo "quirk\n";
