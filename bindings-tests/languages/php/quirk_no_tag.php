$word = 'quirk';
echo "$word\n";
