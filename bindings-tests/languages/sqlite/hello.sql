SELECT 'hello from sqlite';
