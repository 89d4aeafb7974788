const broken: = ;
