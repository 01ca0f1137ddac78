<?php
// Runs in the master, before it forks the children.
uuid_create();
