<?php
readfile('data.txt');
