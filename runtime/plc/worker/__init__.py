"""The process that inspects: started, asked, watched, ended and started again."""
