echo strlen('<?php') == 5 ? 'quirk' : '', "\n";
