call lineout '<stderr>', 'oops'
