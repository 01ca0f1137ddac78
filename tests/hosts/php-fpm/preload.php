<?php
// Runs in the process that forks the children.
uuid_create();
