       01 A-WORD PIC X(7) VALUE "several".
