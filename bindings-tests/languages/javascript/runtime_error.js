const nothing = null;
nothing.field;
