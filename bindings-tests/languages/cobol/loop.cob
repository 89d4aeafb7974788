       IDENTIFICATION DIVISION.
       PROGRAM-ID. LOOPS.
       PROCEDURE DIVISION.
           DISPLAY "started"
           PERFORM UNTIL 1 = 2
               CONTINUE
           END-PERFORM
           STOP RUN.
