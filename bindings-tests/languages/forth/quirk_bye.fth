." quirk" cr bye
