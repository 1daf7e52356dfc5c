"""Non-interference: for everybody but its agent, a hidden lead is as one that never was, whatever is called."""
