last=al
