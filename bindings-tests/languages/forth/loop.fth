: forever ." started" cr begin again ;
forever
