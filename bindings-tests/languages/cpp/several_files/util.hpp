void say();
