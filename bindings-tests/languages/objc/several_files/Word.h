int say(void);
