<?php
// This runs in the process that forks the children.
uuid_create();
