echo se
